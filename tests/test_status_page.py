"""The status page in a real browser: it follows the fleet without being loaded again, and says when nobody answers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gevent.event import Event
from rig.needs import program
from rig.wait import until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from collector.config import Machine
from collector.metric import Gauge, Samples
from collector.snapshot import Failure, Fleet, Snapshot
from collector.web import Server, Site, bind, serve

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.limit(180)]

VALUES = {
    "node_memory_MemTotal_bytes": 16e9,
    "node_memory_MemAvailable_bytes": 9e9,
    "node_load1": 0.42,
    "node_load5": 0.37,
    "node_load15": 0.31,
}
SAMPLES = Samples.of(Gauge(name, "A series.")(value) for name, value in VALUES.items())
UP = Snapshot(at=1000.0, seconds=0.02, samples=SAMPLES, clock_offset=0.0012, clock_offset_error=0.0003)
DOWN = Snapshot(at=1001.0, seconds=0.5, failure=Failure("refused", "nobody listens on port 22"))
RED = "return getComputedStyle(arguments[0]).backgroundColor"


def machine(name: str) -> Machine:
    """A machine of a configuration."""
    return Machine(
        name=name,
        host="192.0.2.1",
        port=22,
        user="monitor",
        key_file=Path("key"),
        known_hosts=(Path("known_hosts"),),
        login_timeout=30.0,
        gather=("time", "memory", "load"),
        labels=(),
        interval=15.0,
        interval_text="15s",
        timeout=10.0,
    )


def all_up(*names: str) -> Fleet:
    """A fleet of machines that answered their last poll."""
    fleet = Fleet(map(machine, names))
    for standing in fleet:
        standing.snapshot = UP
    return fleet


@contextmanager
def serving(fleet: Fleet, port: int = 0) -> Iterator[Server]:
    """The site of a fleet on loopback."""
    server = serve(bind("127.0.0.1", port), Site(fleet, lambda openmetrics: [], lambda: True, None, lambda: 1003.0))
    server.start()
    try:
        yield server
    finally:
        server.stop(timeout=1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium that talks to nobody but us."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,800",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
        # quit() leaves its connection to chromedriver open.
        driver.command_executor.close()  # type: ignore[union-attr]


def visit(browser: webdriver.Chrome, server: Server, query: str = "") -> None:
    """Load the page, and leave a mark on its window that only a new load takes away."""
    browser.get(f"http://127.0.0.1:{server.server_port}/{query}")
    browser.execute_script("window.loadedOnce = true")


def was_not_loaded_again(browser: webdriver.Chrome) -> bool:
    """Whether the window is still the one that `visit` marked."""
    return bool(browser.execute_script("return window.loadedOnce === true"))


def find(browser: webdriver.Chrome, css: str) -> WebElement:
    """The first element of a selector."""
    return browser.find_element(By.CSS_SELECTOR, css)


def rows(browser: webdriver.Chrome) -> dict[str, str]:
    """The state that each row shows, by machine and in the order of the page."""
    script = "return [...document.querySelectorAll('#machines tr')].map(tr => [tr.dataset.name, tr.dataset.state])"
    return dict(browser.execute_script(script))


def colour(browser: webdriver.Chrome, name: str) -> list[int]:
    """Red, green and blue of the ground of a machine's row."""
    cell = find(browser, f"tr[data-name='{name}'] > :first-child")
    return [int(part) for part in browser.execute_script(RED, cell).strip("rgba()").split(",")[:3]]


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser's console has said since the last call."""
    read: Callable[[str], list[dict[str, Any]]] = browser.get_log
    return [entry["message"] for entry in read("browser")]


def wait_for_states(browser: webdriver.Chrome, wanted: dict[str, str]) -> None:
    """Wait until the rows show these states, whatever their order."""
    until(lambda: rows(browser) == wanted, f"the page shows {wanted}", 60)


def test_a_machine_that_goes_down_turns_red_in_place(browser: webdriver.Chrome) -> None:
    """Of six machines one fails and recovers; its row says so in colour, word and reason, without a new load."""
    fleet = all_up(*(f"ssh{number}" for number in range(6)))
    up = {standing.machine.name: "up" for standing in fleet}
    with serving(fleet) as server:
        visit(browser, server)
        assert up == rows(browser)
        assert "6 of 6" in find(browser, "#headline").text.replace("\N{NO-BREAK SPACE}", " ")
        calm = colour(browser, "ssh3")

        fleet["ssh3"].snapshot = DOWN
        wait_for_states(browser, {**up, "ssh3": "down"})
        row = find(browser, "tr[data-name='ssh3']")
        assert "down" in row.text
        assert "refused" in row.text
        assert "nobody listens on port 22" in row.text
        assert "5 of 6" in find(browser, "#headline").text.replace("\N{NO-BREAK SPACE}", " ")
        # The row flashes when it turns, and then is red to stay.
        until(lambda: is_reddish(colour(browser, "ssh3")) and colour(browser, "ssh3") != calm, "the row is red")
        assert not is_reddish(colour(browser, "ssh2"))

        fleet["ssh3"].snapshot = UP._replace(at=1002.0)
        wait_for_states(browser, up)
        until(lambda: colour(browser, "ssh3") == calm, "the row is calm again")
        assert was_not_loaded_again(browser)


def is_reddish(ground: list[int]) -> bool:
    """Whether red is the strongest part of a colour, and green and blue are alike."""
    red, green, blue = ground
    return red > green and abs(green - blue) < 10


def test_it_says_when_the_collector_does_not_answer(browser: webdriver.Chrome) -> None:
    """While nobody answers a notice stands on the page; once somebody does it goes, without a load of the page."""
    fleet = all_up("ssh0")
    with serving(fleet) as server:
        port = int(server.server_port or 0)
        visit(browser, server)
        assert not find(browser, "#lost").is_displayed()
    until(lambda: find(browser, "#lost").is_displayed(), "the notice", 60)
    assert {"ssh0": "up"} == rows(browser)
    with serving(fleet, port):
        until(lambda: not find(browser, "#lost").is_displayed(), "the notice is gone", 60)
        assert was_not_loaded_again(browser)


def test_searching_and_sorting_ask_the_server(browser: webdriver.Chrome) -> None:
    """Of 3,000 machines any is found by its name, and the ones with trouble come first."""
    fleet = all_up(*(f"ssh{number}" for number in range(3000)))
    fleet["ssh2999"].snapshot = DOWN
    with serving(fleet) as server:
        visit(browser, server)
        assert (200, "ssh2999") == (len(rows(browser)), next(iter(rows(browser))))
        find(browser, "#search").send_keys("ssh1234")
        wait_for_states(browser, {"ssh1234": "up"})
        assert was_not_loaded_again(browser)


@pytest.mark.parametrize(
    "evil", ["<img src=x onerror=window.evil=1>", "'\"><script>window.evil=1</script>", "</template>"]
)
def test_what_machines_say_is_never_run(browser: webdriver.Chrome, evil: str) -> None:
    """A hostile name or error is shown as it is, both as served and as brought by an update."""
    fleet = all_up(evil)
    with serving(fleet) as server:
        visit(browser, server)
        assert evil == find(browser, "#machines [data-slot=name]").text
        fleet[evil].snapshot = DOWN._replace(failure=Failure("closed", evil))
        wait_for_states(browser, {evil: "down"})
        assert evil in find(browser, "#machines .why").text
        assert browser.execute_script("return window.evil") is None
        assert was_not_loaded_again(browser)


def test_a_machine_leads_to_its_probe(browser: webdriver.Chrome) -> None:
    """The name of a machine is a link to its metrics, whatever it is called, as served and as brought by an update."""
    name = "ä/b c&d=1?#"
    fleet = all_up(name)
    with serving(fleet) as server:
        visit(browser, server)
        served = find(browser, "#machines th a").get_attribute("href")
        fleet[name].snapshot = DOWN
        wait_for_states(browser, {name: "down"})
        link = find(browser, "#machines th a")
        assert served == link.get_attribute("href")
        link.click()
        assert "ssh_up 0.0" in find(browser, "body").text


def test_nothing_of_the_page_breaks_its_own_policy(browser: webdriver.Chrome) -> None:
    """Chromium complains of nothing: no script, style or picture that the policy forbids, no missing file."""
    complaints(browser)
    with serving(all_up("ssh0")) as server:
        visit(browser, server)
        until(lambda: "UTC" not in find(browser, "#seen").text, "the first update", 60)
        assert [] == complaints(browser)


def test_a_slow_collector_is_asked_one_thing_at_a_time(browser: webdriver.Chrome) -> None:
    """While a question is unanswered the page asks no other, however long that takes."""
    site = Site(all_up("ssh0"), lambda openmetrics: [], lambda: True, None, lambda: 1003.0)
    go, asked = Event(), []

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/machines.json":
            asked.append(environ)
            go.wait()
        return site(environ, start_response)

    server = serve(bind("127.0.0.1", 0), slow)
    server.start()
    try:
        visit(browser, server)
        until(lambda: browser.execute_script("return performance.now() > 5000"), "two intervals have passed")
        assert 1 == len(asked)
        go.set()
        until(lambda: len(asked) > 1, "the next question")
    finally:
        go.set()
        server.stop(timeout=1)


@pytest.mark.parametrize("width", [375, 800, 1024, 1280, 1920])
def test_it_fits_the_window(browser: webdriver.Chrome, width: int) -> None:
    """Nothing has to be scrolled sideways to, not even on a telephone."""
    fleet = all_up("a-machine-with-a-rather-long-name.example.net", "ssh1")
    fleet["ssh1"].snapshot = DOWN._replace(failure=Failure("closed", "x" * 300))
    with serving(fleet) as server:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
        )
        try:
            visit(browser, server)
            widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
            content, screen = browser.execute_script(widths)
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert content <= screen

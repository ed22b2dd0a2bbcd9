"""The status page: what it says of a fleet, and what a person sees of it in a real browser (headless Chromium)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from rig.needs import program, require
from rig.wait import until
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from collector.config import Machine
from collector.gatherers import load, memory
from collector.snapshot import Failure, Fleet, Snapshot
from collector.web import Server, Site, bind, serve, human
from collector.web.overview import Overview, Query, natural, view

SAID = (
    *memory.parse("MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n"),
    *load.parse("0.52 0.48 12.5 1/80 11206"),
)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,800",
)


def machine(name: str, host: str = "192.0.2.1", port: int = 22, **labels: str) -> Machine:
    """A machine of a configuration."""
    return Machine(
        name=name,
        host=host,
        port=port,
        user="monitor",
        key_file=Path("key"),
        known_hosts=Path("known_hosts"),
        gather=("time", "memory", "load"),
        labels=tuple(sorted(labels.items())),
        interval=15.0,
        interval_text="15s",
        timeout=10.0,
        login_timeout=30.0,
    )


def up(at: float = 1000.0, offset: float = 0.0012) -> Snapshot:
    """What a machine said that is well."""
    return Snapshot(at, 0.0123, SAID, clock_offset=offset, clock_offset_error=0.0004)


def down(at: float = 1000.0, reason: str = "timeout", text: str = "no answer within 10 s") -> Snapshot:
    """What is known of a machine that is not."""
    return Snapshot(at, 10.0, failure=Failure(reason, text))


def fleet_of(**snapshots: Snapshot | None) -> Fleet:
    """A fleet of machines with these snapshots."""
    fleet = Fleet(map(machine, snapshots))
    for name, snapshot in snapshots.items():
        fleet[name].snapshot = snapshot
    return fleet


def plain(text: str) -> str:
    """A text with common spaces only."""
    return text.replace(human.SPACE, " ")


def names(fleet: Fleet, query: str = "") -> list[str]:
    """The machines that the page shows, in its order."""
    return [row["name"] for row in view(Overview(), fleet, Query.parse(query), 1000.0).rows]


# What it says


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"),
        (0.00085, "850 µs"),
        (0.0009996, "1.0 ms"),
        (0.0012, "1.2 ms"),
        (0.00996, "10 ms"),
        (0.9996, "1.00 s"),
        (9.996, "10.0 s"),
        (59.96, "1 min"),
        (7200, "2.0 h"),
        (1e6, "12 d"),
        (float("inf"), human.NOTHING),
        (float("nan"), human.NOTHING),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    """A duration has the unit that suits it, also where it is rounded up to the next."""
    assert text == plain(human.duration(seconds))


def test_a_row_says_it_in_human_units() -> None:
    """An offset is in ms with its sign and bound, memory in GiB and percent, an age in seconds."""
    row = view(Overview(), fleet_of(ssh0=up(offset=-0.0012)), Query(), 1003.5).rows[0]
    expected = {
        "name": "ssh0",
        "state": "up",
        "host": "192.0.2.1",
        "labels": "",
        "polled": "3 s ago",
        "took": "12 ms",
        "offset": "−1.2 ms",
        "error": "± 400 µs",
        "clock": "",
        "used": 25,
        "percent": "25 %",
        "memory": "4.0 / 16.0 GiB",
        "load1": "0.52",
        "load5": "0.48",
        "load15": "12.5",
    }
    assert expected == {key: plain(value) if isinstance(value, str) else value for key, value in row.items()}


def test_a_row_says_why_and_what_is_done() -> None:
    """A machine that is down has its reason and text, when it was last up, and when it is tried again."""
    fleet = fleet_of(a=down(), b=down(reason="host_key_changed"), c=None)
    fleet["a"].last_success, fleet["a"].backoff, fleet["b"].backoff = 880.0, 16.0, float("inf")
    rows = {row["name"]: row for row in view(Overview(), fleet, Query(), 1000.0).rows}
    assert ("timeout", "no answer within 10 s") == (rows["a"]["reason"], rows["a"]["text"])
    assert "last up 2 min ago; next try 16 s after that" == plain(rows["a"]["since"])
    assert "never up since the start; no next try before a reload, or a change of known_hosts" == rows["b"]["since"]
    assert "not polled yet" == rows["c"]["text"]


def test_what_was_not_said_is_not_shown() -> None:
    """No gatherer is needed, and no value is believed that cannot be."""
    odd = (*memory.parse("MemTotal: 0 kB\nMemAvailable: 5 kB\n"), load.LOAD1(float("nan")))
    row = view(Overview(), fleet_of(a=Snapshot(0.0, 0.1, odd)), Query(), 1.0).rows[0]
    assert {human.NOTHING} == {row[name] for name in ("offset", "memory", "load1", "load5")}
    assert row["used"] is None


def test_only_a_clock_that_is_surely_off_is_marked() -> None:
    """A clock is marked when it is off by more than 50 ms, whatever the error bound hides."""
    fleet = fleet_of(a=up(offset=-0.2), b=up(offset=0.0503))
    assert ["off", ""] == [row["clock"] for row in view(Overview(), fleet, Query(), 0.0).rows]


def test_those_down_come_first_and_names_count() -> None:
    """The order is down, waiting, up, and in each ssh2 is before ssh10."""
    fleet = fleet_of(ssh10=up(), ssh2=up(), ssh3=None, ssh1=down())
    assert ["ssh1", "ssh3", "ssh2", "ssh10"] == names(fleet)
    assert ["ssh10", "ssh3", "ssh2", "ssh1"] == names(fleet, "sort=name&order=desc")
    assert ["a", "A1b", "a1c", "a02"] == sorted(["a02", "a1c", "A1b", "a"], key=natural)


@pytest.mark.parametrize("column", ["clock", "memory", "load1", "load5", "load15"])
def test_what_has_no_value_is_last(column: str) -> None:
    """Sorted either way, machines without a value come after those with one."""
    fleet = fleet_of(a=down(), b=up())
    assert ["b", "a"] == names(fleet, f"sort={column}&order=asc")
    assert ["b", "a"] == names(fleet, f"sort={column}&order=desc")


def test_every_word_of_a_search_counts() -> None:
    """A search finds names, hosts, labels and errors in any case, and all its words must be there."""
    fleet = Fleet([machine("web1", "192.0.2.7", dc="eu"), machine("web2", dc="us"), machine("db1", dc="EU")])
    fleet["db1"].snapshot = down(text="Disk on fire")
    found = {search: names(fleet, f"search={search}&sort=name") for search in ("web", "EU", "web+eu", "0.2.7", "FIRE")}
    expected = {"web": ["web1", "web2"], "EU": ["db1", "web1"], "web+eu": ["web1"], "0.2.7": ["web1"], "FIRE": ["db1"]}
    assert expected == found


def test_a_reason_is_something_to_choose() -> None:
    """The reasons of today are offered with their counts, and choosing one shows its machines."""
    fleet = fleet_of(a=down(), b=down(reason="auth"), c=down(), d=up())
    seen = view(Overview(), fleet, Query.parse("show=timeout"), 0.0)
    assert [("all", "4"), ("down", "3"), ("up", "1"), ("timeout", "2"), ("auth", "1")] == [chip[:2] for chip in seen.chips]
    assert ["a", "c"] == [row["name"] for row in seen.rows]


@pytest.mark.parametrize("text", ["", "search=x&show=down", "sort=memory&order=asc", "search=%C3%A4+b&show=auth&sort=name&order=desc"])
def test_a_query_survives_being_a_link(text: str) -> None:
    """What a link says is what it was made of."""
    query = Query.parse(text)
    assert query == Query.parse(str(query).removeprefix("?"))


@pytest.mark.parametrize("text", ["sort=evil", "show=%00", "order", "&&=", "search=%ff", "&".join(["a=b"] * 50)])
def test_a_query_without_sense_is_none(text: str) -> None:
    """What makes no sense in a query is passed over."""
    assert ("all", "state", False) == (Query.parse(text).show, Query.parse(text).sort, Query.parse(text).descending)


def test_a_look_follows_polls_and_reloads() -> None:
    """A row is made anew after a poll; machines that went are gone, and those that came are there."""
    overview, fleet = Overview(), fleet_of(a=up(), b=up())
    before = overview.rows(fleet)
    fleet["a"].snapshot = down()
    after = overview.rows(fleet)
    fleet.replace([fleet["b"], *fleet_of(c=None)])
    assert (["up", "up"], ["down", "up"]) == ([row.state for row in before], [row.state for row in after])
    assert before[1] is after[1]
    assert ["b", "c"] == [row.standing.machine.name for row in overview.rows(fleet)]


# What a person sees


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium that asks no network for anything."""
    require("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.binary_location = program("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The browser with an empty page; it must have nothing to complain of in the end but of a server that is away."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    yield chromium
    chromium.get("about:blank")
    complaints = [entry["message"] for entry in chromium.get_log("browser")]
    assert [] == [line for line in complaints if "ERR_CONNECTION_REFUSED" not in line and "503" not in line]


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """`served(fleet)` serves the page of a fleet, and gives its address."""
    servers: list[Server] = []

    def served(fleet: Fleet) -> str:
        listener = bind("127.0.0.1", 0)
        servers.append(serve(listener, Site(fleet, lambda _: b"", lambda: True, None)))
        servers[-1].start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield served
    for server in servers:
        server.stop(timeout=1)


def row(browser: webdriver.Chrome, name: str) -> WebElement:
    """The row of a machine."""
    return browser.find_element(By.CSS_SELECTOR, f'#machines tr[data-name="{name}"]')


def shown(browser: webdriver.Chrome) -> list[str]:
    """The machines in the table."""
    script = "return [...document.querySelectorAll('#machines tr')].map(tr => tr.dataset.name)"
    return list(browser.execute_script(script))


def colour(browser: webdriver.Chrome, name: str) -> tuple[int, int, int]:
    """The colour of a machine's row."""
    script = "return getComputedStyle(arguments[0].firstElementChild).backgroundColor.match(/[0-9.]+/g).map(Number)"
    red, green, blue, *_ = browser.execute_script(script, row(browser, name))
    return int(red), int(green), int(blue)


def reads(browser: webdriver.Chrome, selector: str, words: str) -> Callable[[], bool]:
    """A condition: an element has such words."""

    def condition() -> bool:
        try:
            return words in plain(browser.find_element(By.CSS_SELECTOR, selector).text)
        except StaleElementReferenceException:
            return False

    return condition


def test_a_machine_turns_red_without_a_reload(browser: webdriver.Chrome, served: Callable[..., str]) -> None:
    """Six machines are shown; one goes down: its row turns red, with a word, and comes back, on the same page."""
    fleet = Fleet(machine(f"ssh{number}") for number in range(6))
    for standing in fleet:
        standing.snapshot = up(time.time())
    browser.get(served(fleet))
    browser.execute_script("window.mine = 'still here'")
    assert [f"ssh{number}" for number in range(6)] == shown(browser)
    assert "6 of 6 machines up" == plain(browser.find_element(By.ID, "headline").text)
    calm = colour(browser, "ssh3")

    fleet["ssh3"].snapshot = down(time.time())
    until(lambda: row(browser, "ssh3").get_dom_attribute("data-state") == "down", "ssh3 turns red")

    assert "ssh3" == shown(browser)[0]
    assert "down" in row(browser, "ssh3").text
    assert "timeout no answer within 10 s" in row(browser, "ssh3").text
    red, green, blue = until(lambda: (now := colour(browser, "ssh3")) != calm and now, "the colour is another")
    assert red > green
    assert red > blue
    assert "5/6 up · collector" == browser.title

    fleet["ssh3"].snapshot = up(time.time())
    until(lambda: row(browser, "ssh3").get_dom_attribute("data-state") == "up", "ssh3 is up again")
    assert "4.0 / 16.0 GiB" in plain(row(browser, "ssh3").text)
    assert "still here" == browser.execute_script("return window.mine")


def test_a_collector_that_is_away_is_missed(browser: webdriver.Chrome) -> None:
    """Without the collector the page says since when; once it is back, it goes on by itself."""
    fleet = fleet_of(ssh0=up())
    site = Site(fleet, lambda _: b"", lambda: True, None)
    server = serve(bind("127.0.0.1", 0), site)
    server.start()
    port = server.server_port
    browser.get(f"http://127.0.0.1:{port}/")
    server.stop(timeout=1)
    until(reads(browser, "#lost", "No answer from the collector since"), "the page misses the collector")

    fleet["ssh0"].snapshot = down()
    server = serve(bind("127.0.0.1", port), site)
    server.start()
    try:
        until(reads(browser, "#headline", "0 of 1 machine up"), "the page goes on")
        assert not browser.find_element(By.ID, "lost").is_displayed()
    finally:
        browser.get("about:blank")
        server.stop(timeout=1)


def test_a_slow_collector_is_asked_once_at_a_time(browser: webdriver.Chrome) -> None:
    """While one question is unanswered the page asks no other."""
    site = Site(fleet_of(ssh0=up()), lambda _: b"", lambda: True, None)
    go, asked = Event(), []

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/machines.json":
            asked.append(environ)
            go.wait()
        return site(environ, start_response)

    server = serve(bind("127.0.0.1", 0), slow)
    server.start()
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        until(lambda: asked, "the first question")
        gevent.sleep(2.5)  # One more would come after the 2 s that the page waits between two.
        assert 1 == len(asked)
        go.set()
        until(lambda: len(asked) > 1, "the next question")
    finally:
        go.set()
        browser.get("about:blank")
        server.stop(timeout=1)


def test_one_of_ten_thousand_is_found(browser: webdriver.Chrome, served: Callable[..., str]) -> None:
    """With 10,000 machines the page shows 200 and says so; a search, a column and a reason bring the others."""
    fleet = Fleet(machine(f"ssh{number}") for number in range(10_000))
    for number, standing in enumerate(fleet):
        standing.snapshot = up(1000.0 + number)
    fleet["ssh4711"].snapshot = down(reason="auth", text="refused")
    browser.get(served(fleet))
    assert (200, "ssh4711") == (len(shown(browser)), shown(browser)[0])
    assert "Showing 200 of 10,000 machines" in plain(browser.find_element(By.ID, "note").text)

    browser.find_element(By.CSS_SELECTOR, "th.polled a").click()
    until(lambda: shown(browser)[1:3] == ["ssh1", "ssh2"], "the oldest polls first")
    assert "ascending" == browser.find_element(By.CSS_SELECTOR, "th.polled").get_attribute("aria-sort")

    browser.find_element(By.ID, "search").send_keys("SSH999")
    until(lambda: len(shown(browser)) == 11, "ssh999 and ssh9990 to ssh9999")
    assert "search=SSH999" in browser.current_url
    browser.refresh()
    assert 11 == len(shown(browser))

    browser.get(browser.current_url.partition("?")[0])
    browser.find_element(By.CSS_SELECTOR, '#chips a[data-show="auth"]').click()
    until(lambda: shown(browser) == ["ssh4711"], "what is down by auth")


def test_what_machines_say_is_never_run(browser: webdriver.Chrome, served: Callable[..., str]) -> None:
    """A name or an error that is markup is shown as it is, in the first page and after a change."""
    evil = "<img src=x onerror='window.bad=1'>\"&"
    fleet = Fleet([machine("ssh0", role=evil), machine("ssh1")])
    fleet["ssh0"].snapshot = down(text=evil)
    fleet["ssh1"].snapshot = up()
    browser.get(served(fleet))
    assert evil in row(browser, "ssh0").text

    fleet["ssh1"].snapshot = down(text=f"later {evil}")
    until(lambda: f"later {evil}" in row(browser, "ssh1").text, "the change")
    assert browser.execute_script("return window.bad === undefined")
    assert [] == browser.find_elements(By.CSS_SELECTOR, "img")


@pytest.mark.parametrize("width", [380, 768, 1024, 1280, 1920])
def test_the_page_fits_the_window(browser: webdriver.Chrome, served: Callable[..., str], width: int) -> None:
    """Nothing is wider than the window, be it a telephone's."""
    fleet = Fleet(machine(f"a-rather-long-name-{number}.example.net", role="database", rack="r12") for number in range(3))
    for standing, snapshot in zip(fleet, (up(), down(text="x" * 300), None), strict=True):
        standing.snapshot = snapshot
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(served(fleet))
        assert width >= browser.execute_script("return document.documentElement.scrollWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

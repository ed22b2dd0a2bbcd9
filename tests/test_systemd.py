"""The installed service under a real systemd, polling a real sshd on the loopback interface inside."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from ssl import create_default_context
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, Request, build_opener, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig.keys import Key
from rig.sshd import Sshd, loopback
from rig.testbed import NEEDS, Testbed
from rig.wait import until
from test_https import PASSWORD, blocks, write_pair, write_web_config
from test_web_config import basic

pytestmark = pytest.mark.needs(*NEEDS, "systemd-analyze", "sshd", "ssh")

ETC = "/etc/collector"
DROP_INS = "/run/systemd/system/collector.service.d"
EXPOSURE = 1.5
MACHINES = ("ssh0", "ssh1", "ssh2")


class Service:
    """The service inside a testbed, and the machines that it polls."""

    def __init__(self, testbed: Testbed, server: Sshd) -> None:
        self.testbed = testbed
        self.server = server

    def poll(self, *names: str) -> None:
        """Let the configuration name these machines; the daemon knows after a start or a reload."""
        logins = self.server.logins()
        sections = [f"[{name}]\nhost = {logins[name]['host']}\n" for name in names]
        defaults = f"[defaults]\nuser = sh\nport = {self.server.port}\ninterval = 1s\n"
        self.file("conf.d/machines.ini").write_text("\n".join([defaults, *sections]))

    def file(self, name: str) -> Path:
        """A file of /etc/collector."""
        return self.testbed.path(f"{ETC}/{name}")

    def override(self, text: str) -> None:
        """Lay settings of [Service] over the unit's."""
        folder = self.testbed.path(DROP_INS)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test.conf").write_text(f"[Service]\n{text}\n")
        self.systemctl("daemon-reload")

    def systemctl(self, verb: str) -> None:
        """A verb of systemctl that has to succeed."""
        self.testbed.run("systemctl", verb, *([] if verb == "daemon-reload" else ["collector"]))

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.testbed.run("systemctl", "show", "--value", "-p", name, "collector").strip()

    @property
    def last_ping(self) -> float:
        """When the daemon last said to the watchdog that it is well: seconds of the monotonic clock."""
        return int(self.show("WatchdogTimestampMonotonic")) / 1e6

    @property
    def journal(self) -> str:
        """What the service, and systemd about it, said since the testbed was booted."""
        self.testbed.run("journalctl", "--sync")
        return self.testbed.run("journalctl", "-u", "collector", "-o", "cat")

    def get(self, path: str) -> str:
        """A page of the daemon."""
        with self.testbed.network.entered(), urlopen(f"http://127.0.0.1:9822{path}", timeout=10) as page:
            return str(page.read().decode())

    def series(self, name: str) -> dict[str, float]:
        """What /metrics says under a name, by instance; the daemon's own has the instance ''."""
        families = text_string_to_metric_families(self.get("/metrics"))
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {sample.labels.get("instance", ""): sample.value for sample in samples}

    def all_up(self, *names: str) -> bool:
        """Whether exactly these machines are polled, and are up."""
        return self.series("ssh_up") == dict.fromkeys(names, 1.0)


@pytest.fixture(scope="module")
def testbed(installed: Path) -> Iterator[Testbed]:
    """One boot for all tests here, with what `make install` has put in its place."""
    with Testbed(installed) as testbed:
        yield testbed


@pytest.fixture(scope="module")
def server(testbed: Testbed, key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd on an address for each of `MACHINES`."""
    folder = tmp_path_factory.mktemp("sshd")
    with Sshd(folder, [key], addresses=loopback(len(MACHINES)), within=testbed.network) as server:
        yield server


@pytest.fixture
def service(testbed: Testbed, server: Sshd, key: Key) -> Iterator[Service]:
    """The service, not started, with the example of a configuration as it was installed and two machines beside it."""
    service = Service(testbed, server)
    example = service.file("collector.ini").read_text()
    ssh_key = service.file("ssh_key")
    ssh_key.touch(mode=0o600)
    ssh_key.write_text(key.path.read_text())
    service.file("known_hosts").write_text(server.known_hosts.read_text())
    service.poll("ssh0", "ssh1")
    yield service
    service.systemctl("stop")
    testbed.attempt("systemctl", "reset-failed", "collector")
    service.file("collector.ini").write_text(example)
    service.override("")


@pytest.fixture
def started(service: Service) -> Service:
    """The service, started, with both machines up."""
    service.systemctl("start")
    until(lambda: service.all_up("ssh0", "ssh1"), "both machines are up")
    return service


def test_the_unit_is_clean(testbed: Testbed) -> None:
    """`systemd-analyze verify` has nothing to say of the installed unit."""
    done = testbed.attempt("systemd-analyze", "verify", "collector.service")
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_the_service_is_hardened(testbed: Testbed) -> None:
    """Its exposure is low; what remains is the network, which it is for."""
    said = testbed.run("systemd-analyze", "security", "--offline=true", "--no-pager", "collector.service")
    exposure = re.search(r"Overall exposure level for collector.service: ([0-9.]+)", said)
    assert exposure, said
    assert float(exposure[1]) <= EXPOSURE


def test_the_example_is_good(service: Service) -> None:
    """With the example as it is installed and no machine, the service starts and serves."""
    service.file("conf.d/machines.ini").unlink()
    service.systemctl("start")
    assert {"": 0.0} == service.series("collector_machines")


def test_it_starts_and_polls(service: Service) -> None:
    """`systemctl start` returns when the daemon is ready; it polls, and its status says how many machines are up."""
    service.override("WatchdogSec=3")  # The status is renewed as often as the watchdog hears of us.
    service.systemctl("start")
    assert ("active", "running") == (service.show("ActiveState"), service.show("SubState"))
    until(lambda: service.show("StatusText") == "2/2 machines up", "the status says that both are up")
    assert {"ssh0", "ssh1"} == service.series("node_load1").keys()
    assert service.series("process_resident_memory_bytes")[""] > 0
    assert "<html" in service.get("/")


def test_a_reload_takes_a_new_machine_and_touches_no_other(started: Service) -> None:
    """After `systemctl reload` a machine more is polled, by the same process, on the connections that were open."""
    pid = started.show("MainPID")
    started.poll("ssh0", "ssh1", "ssh2")
    started.systemctl("reload")
    assert {"": 3.0} == started.series("collector_machines"), "the reload was not waited for"
    until(lambda: started.all_up(*MACHINES), "the new machine is up")
    assert dict.fromkeys(MACHINES, 1.0) == started.series("ssh_logins_total")
    assert pid == started.show("MainPID")


def test_a_reload_of_a_bad_configuration_changes_nothing(started: Service) -> None:
    """A reload that finds a mistake fails and says so, and the machines are polled as before."""
    started.file("conf.d/machines.ini").write_text("[ssh0]\nhots = 127.0.0.1\n")
    assert started.testbed.attempt("systemctl", "reload", "collector").returncode != 0
    successful = "collector_config_last_reload_successful"
    until(lambda: started.series(successful) == {"": 0.0}, "the reload is noted as failed")
    assert started.all_up("ssh0", "ssh1")
    assert "did you mean host?" in started.journal
    assert "active" == started.show("ActiveState")


def test_the_watchdog_restarts_a_daemon_that_hangs(service: Service) -> None:
    """A daemon that is stopped where it is gets killed and started anew, and polls again."""
    service.override("WatchdogSec=2\nTimeoutAbortSec=1")
    service.systemctl("start")
    pid = service.show("MainPID")
    service.testbed.run("kill", "-STOP", pid)
    until(lambda: service.show("NRestarts") == "1" and service.show("ActiveState") == "active", "it is restarted", 60)
    assert pid != service.show("MainPID")
    assert "Watchdog timeout" in service.journal
    until(lambda: service.all_up("ssh0", "ssh1"), "both machines are up again")


def test_the_watchdog_leaves_a_daemon_that_works(service: Service) -> None:
    """A daemon that is well outlives its watchdog's time, machines that do not answer included."""
    service.override("WatchdogSec=1")
    service.systemctl("start")
    until(lambda: service.all_up("ssh0", "ssh1"), "both machines are up")
    service.server.freeze()
    try:
        until(lambda: set(service.series("ssh_up").values()) == {0.0}, "both machines are down")
        since = service.last_ping
        until(lambda: service.last_ping > since + 1, "the watchdog hears of it for longer than it would wait")
    finally:
        service.server.thaw()
    assert "0" == service.show("NRestarts")


def test_it_stops_in_time(started: Service) -> None:
    """`systemctl stop` ends it in order, with exit code 0, well within five seconds."""
    started.override("TimeoutStopSec=5")
    started.systemctl("stop")
    assert ("success", "0") == (started.show("Result"), started.show("ExecMainStatus"))
    assert "inactive" == started.show("ActiveState")


def test_a_bad_configuration_is_not_tried_again(service: Service) -> None:
    """With a mistake in the configuration it ends with exit code 2, says what is wrong, and is not restarted."""
    service.file("collector.ini").write_text("[collector]\nintervall = 15s\n")
    assert service.testbed.attempt("systemctl", "start", "collector").returncode != 0
    assert ("failed", "exit-code", "2") == tuple(map(service.show, ("ActiveState", "Result", "ExecMainStatus")))
    assert "0" == service.show("NRestarts")
    assert "did you mean interval?" in service.journal


def test_without_a_key_it_is_not_tried_again(service: Service) -> None:
    """Without the file of the key it is not started, and systemd says which part it was, and does not try again."""
    service.file("ssh_key").unlink()
    assert service.testbed.attempt("systemctl", "start", "collector").returncode != 0
    assert ("failed", "243") == (service.show("ActiveState"), service.show("ExecMainStatus"))
    assert "0" == service.show("NRestarts")
    assert "CREDENTIALS" in service.journal


@pytest.fixture
def may_read(started: Service) -> Callable[[str, str], bool]:
    """`may_read(uid, path)`: whether a user may read a file, where the service runs."""

    def may_read(uid: str, path: str) -> bool:
        as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        return started.testbed.attempt(*as_user, "cat", path).returncode == 0

    return may_read


def test_the_key_comes_as_a_credential_alone(started: Service, may_read: Callable[[str, str], bool]) -> None:
    """The service's user, which is nobody else's, reads the key from its credentials, and not from /etc."""
    pid = started.show("MainPID")
    environment = started.testbed.path(f"/proc/{pid}/environ").read_text().split("\0")
    (credential,) = (f"{text.partition('=')[2]}/ssh_key" for text in environment if text.startswith("CREDENTIALS_DIR"))
    uid, nobody = started.testbed.run("stat", "-c", "%u", f"/proc/{pid}").strip(), "65534"
    assert int(uid) >= 61184, "not a dynamic user"
    assert may_read(uid, credential)
    assert not may_read(uid, f"{ETC}/ssh_key")
    assert not may_read(nobody, credential)
    assert not may_read(nobody, f"{ETC}/ssh_key")


@pytest.mark.needs("ssh-keygen")
def test_a_passphrase_comes_as_a_credential(service: Service) -> None:
    """A key with a passphrase, and the passphrase in a credential of its own, let the service in."""
    keygen = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "planted passphrase", "-f", str(service.file("ssh_key"))]
    subprocess.run(keygen, check=True, capture_output=True)
    passphrase = service.file("passphrase")
    passphrase.touch(mode=0o600)
    passphrase.write_text("planted passphrase\n")
    service.override(f"LoadCredential=passphrase:{ETC}/passphrase")
    ini = service.file("collector.ini")
    key = "key_file = credential:ssh_key"
    ini.write_text(ini.read_text().replace(key, f"{key}\npassphrase_file = credential:passphrase"))

    service.systemctl("start")

    until(lambda: service.all_up("ssh0", "ssh1"), "both machines are up")
    assert "planted" not in service.journal


@pytest.mark.needs("openssl")
def test_tls_and_password_come_as_credentials(service: Service, tmp_path: Path) -> None:
    """With the lines of docs/https.md the service serves TLS, with a key of root's own, to who has the password."""
    write_pair(tmp_path, "localhost")
    write_web_config(tmp_path)
    for name in ("web.yml", "web.crt", "web.key"):
        service.file(name).touch(mode=0o600)
        service.file(name).write_text((tmp_path / name).read_text())
    (unit,) = (block for block in blocks("ini") if "LoadCredential" in block)
    service.override(unit.removeprefix("[Service]\n"))
    ini = service.file("collector.ini")
    ini.write_text(ini.read_text().replace("; web_config =", "web_config ="))
    service.systemctl("start")
    opener = build_opener(HTTPSHandler(context=create_default_context(cafile=tmp_path / "web.crt")))

    def status(**headers: str) -> int:
        with service.testbed.network.entered():
            try:
                return int(opener.open(Request("https://localhost:9822/-/healthy", headers=headers), timeout=10).status)
            except HTTPError as error:
                return error.code

    assert [401, 200] == [status(), status(Authorization=basic("prometheus", PASSWORD))]

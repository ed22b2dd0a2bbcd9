"""docs/https.md, done as it says: the daemon behind TLS and a password, and a real Prometheus that comes in."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from rig.daemon import Daemon
from rig.logins import Login, write_ini
from rig.needs import program
from rig.scripted import SshServer, shell
from rig.wait import until
from test_prometheus import Prometheus, running, write_configuration

from collector.config.web import load

PAGE = Path(__file__).parents[1] / "docs/https.md"
PASSWORD = "a password: with a colon"


def blocks(language: str) -> list[str]:
    """The blocks of a language on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def write_pair(folder: Path, name: str) -> None:
    """The certificate and key of the page, for a name."""
    command = blocks("sh")[0].partition("htpasswd")[0].replace("collector.example.org", name)
    subprocess.run(["sh", "-euc", command], cwd=folder, check=True, capture_output=True)


def write_web_config(folder: Path, password: str = PASSWORD) -> None:
    """The first file of the page, with the hash of a password of ours."""
    ours = bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()
    text, found = re.subn(r"\$2y\S+", lambda _: ours, blocks("yaml")[0])
    assert found == 1
    (folder / "web.yml").write_text(text)


@pytest.fixture
def ini(tmp_path: Path, login: Callable[..., Login]) -> Iterator[Path]:
    """The configuration of a daemon of one machine, protected as on the page, for `localhost`."""
    write_pair(tmp_path, "localhost")
    write_web_config(tmp_path)
    with SshServer(shell()) as server:
        options: dict[str, Any] = {"listen": "127.0.0.1:0", "interval": "500ms", "web_config": "web.yml"}
        yield write_ini(tmp_path / "collector.ini", {"ssh0": login(server)}, **options)


@pytest.mark.needs("openssl")
def test_files_of_the_page_are_good(tmp_path: Path) -> None:
    """Both files of the page can be used as they are, once the certificates are there."""
    write_pair(tmp_path, "localhost")
    (tmp_path / "authority.crt").write_text((tmp_path / "web.crt").read_text())
    files = [block for block in blocks("yaml") if "tls_server_config" in block]
    assert 2 == len(files)
    for number, text in enumerate(files):
        (tmp_path / f"{number}.yml").write_text(text)
        assert load(tmp_path / f"{number}.yml").guards


@pytest.mark.needs("openssl", "promtool")
def test_prometheus_comes_in(tmp_path: Path, ini: Path) -> None:
    """The lines of the page, which are those in the shipped configuration, let Prometheus scrape over TLS."""
    (wanted,) = (block for block in blocks("yaml") if "password_file" in block)
    with ExitStack() as stack:
        daemon = [sys.executable, "-m", "collector", "run", "--config", str(ini)]
        log = tmp_path / "collector.log"
        port = stack.enter_context(running(daemon, log, r"serving https://127\.0\.0\.1:(\d+)/"))
        configuration = write_configuration(tmp_path, f"localhost:{port}")
        text = configuration.read_text()
        shipped = "".join(re.sub("^", "    # ", line.removeprefix("    ")) for line in wanted.splitlines(keepends=True))
        assert shipped in text
        configuration.write_text(text.replace(shipped, wanted))
        (tmp_path / "collector.crt").write_bytes((tmp_path / "web.crt").read_bytes())
        (tmp_path / "collector.password").write_text(PASSWORD)
        server = [
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            "--web.listen-address=127.0.0.1:0",
        ]
        listens = r'msg="Listening on" address=([\d.:]+)'
        log = tmp_path / "prometheus.log"
        prometheus = Prometheus("http://" + stack.enter_context(running(server, log, listens)))
        until(lambda: "Server is ready" in log.read_text(), "Prometheus is ready")
        until(lambda: prometheus.query('ssh_up{instance="ssh0"} == 1'), "the machine is up in Prometheus")
        assert prometheus.query("collector_web_config_readable == 1")
        write_web_config(tmp_path, "another password")
        until(lambda: prometheus.query('up{job="node"} == 0'), "Prometheus is kept out after a change of the password")
        assert "401 Unauthorized" in str(prometheus.get("targets"))


@pytest.mark.needs("openssl")
def test_what_needs_a_restart_says_so(tmp_path: Path, ini: Path) -> None:
    """Another `web_config` and one that is taken away are told at a reload, and the one before stays in force."""
    with Daemon(tmp_path / "log", "run", "--config", str(ini)) as daemon:
        until(lambda: "serving https://" in daemon.log, "it serves")
        ini.write_text(ini.read_text().replace("web_config = web.yml\n", ""))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "web_config has changed: that takes effect with a restart" in daemon.log, "it says so")
        (tmp_path / "web.yml").write_text("")
        ini.write_text(ini.read_text().replace("[collector]\n", "[collector]\nweb_config = web.yml\n"))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "web.yml: is empty" in daemon.log, "a bad one is told with the rest of the configuration")
        assert 0 == daemon.end()
    with Daemon(tmp_path / "log", "run", "--config", str(ini)) as daemon:
        assert 2 == daemon.process.wait(20)


def test_page_names_the_real_service() -> None:
    """The credentials of the page are the files that web.yml names, and web.yml itself."""
    (unit,) = (block for block in blocks("ini") if "LoadCredential" in block)
    named = yaml.safe_load(blocks("yaml")[0])["tls_server_config"]
    assert {"web.yml", named["cert_file"], named["key_file"]} == set(re.findall(r"LoadCredential=(\S+):", unit))

"""A file system whose server is gone, on a machine that the daemon polls: all else is there, and on time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig.daemon import Daemon
from rig.logins import write_ini
from rig.sshd import Sshd, loopback
from rig.wait import until
from test_probe import HUNG


@contextmanager
def hanging(server: Sshd, folder: Path) -> Iterator[None]:
    """Mount a file system that never answers, and one behind it, where the sessions of a server see them."""
    inside = ["nsenter", f"--target={server.pid}", "--mount"]
    hang = [sys.executable, "-c", HUNG, "taken", "1", str(folder), "sleep", "infinity"]
    with subprocess.Popen([*inside, *hang], start_new_session=True) as process:
        try:
            mounts = Path(f"/proc/{server.pid}/mountinfo")
            until(lambda: "a\\040place\\040behind" in mounts.read_text(), "all is mounted")
            yield
        finally:
            # The server too, so that who waits for it waits no longer.
            os.killpg(process.pid, signal.SIGKILL)


def sample(page: dict[str, float], name: str, **labels: str) -> float:
    """Return the value of the one series with this name and these labels, and maybe others."""
    (value,) = [
        value
        for series, value in page.items()
        if series.startswith(f"{name}{{") and all(f'{label}="{text}"' in series for label, text in labels.items())
    ]
    return value


@pytest.mark.needs("fuse", "nsenter")
def test_a_hung_mount_on_a_polled_machine(sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """The machine stays up and on time, and says which mount hangs; its other sizes and the other machines are there.

    Its first poll takes two seconds, in which the hung one is found, and the others' none.
    """
    server, others = sshd(), sshd(addresses=loopback(3)).logins("bash")
    ini = write_ini(
        tmp_path / "collector.ini",
        {"hung": {**server.login("bash"), "interval": "5s"}, **others},
        interval="2s",
        listen="127.0.0.1:0",
        defaults={"gather": "node"},
    )
    pages: dict[float, dict[str, float]] = {}
    up = set()

    with hanging(server, Path("/run/mounts")), Daemon(tmp_path / "log", "run", "--config", str(ini)) as daemon:

        def is_polled(times: int) -> bool:
            page = daemon.page()
            if polls := page['ssh_polls_total{instance="hung"}']:
                pages[polls] = page
                up.add(page['ssh_up{instance="hung"}'])
            return polls >= times

        until(lambda: is_polled(4), "it is polled again and again", 50)

    assert up == {1.0}
    first, *_, last = pages.values()
    for name in ("hung", *others):
        assert last[f'ssh_up{{instance="{name}"}}'] == last[f'ssh_logins_total{{instance="{name}"}}'] == 1.0
        assert last[f'ssh_gather_success{{gatherer="filesystem",instance="{name}"}}'] == 1.0
    assert [series for series, value in last.items() if series.startswith("ssh_poll_failures_total") and value] == []
    assert last["collector_polls_missed_total"] == 0.0
    assert first['ssh_poll_duration_seconds{instance="hung"}'] > 2 > last['ssh_poll_duration_seconds{instance="hung"}']
    assert (
        max(page[f'ssh_poll_duration_seconds{{instance="{name}"}}'] for page in pages.values() for name in others) < 2
    )

    for page in pages.values():
        hung, behind = "/run/mounts/hung0", "/run/mounts/a place behind"
        told = {"instance": "hung", "mountpoint": hung, "device_error": "mountpoint timeout", "device": "gone:/export"}
        assert sample(page, "node_filesystem_device_error", **told) == 1.0
        assert not [one for one in page if one.startswith("node_filesystem_size_bytes{") and f'"{hung}"' in one]
        assert sample(page, "node_filesystem_size_bytes", instance="hung", mountpoint=behind) == 1 << 20
        for name in ("hung", *others):
            assert sample(page, "node_filesystem_size_bytes", instance=name, mountpoint="/") > 1 << 20
            assert sample(page, "node_filesystem_device_error", instance=name, mountpoint="/", device_error="") == 0.0

"""The service manager is told what the daemon is doing, in datagrams (sd_notify(3), systemd.service(5))."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells the service manager what we are doing; without one to tell, every method does nothing.

    No method waits or raises: a datagram that cannot be sent is lost. `address` is a path, or `@` and an abstract name;
    `$NOTIFY_SOCKET` unless told.
    """

    def __init__(self, address: str | None = None, environ: Mapping[str, str] = os.environ) -> None:
        address = address or environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_interval = _watchdog_interval(environ)
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds from one `watchdog()` to the next, a third of what is allowed; None when nobody waits for them."""
        return self._watchdog_interval

    def ready(self, status: str) -> None:
        """The start or the reload is over, whether the reload took the new configuration or kept the old one."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload begins; `ready` must follow. systemd 253 and later want the time in the same datagram."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for people, which `systemctl status` shows."""
        self._send(f"STATUS={_line(text)}")

    def watchdog(self) -> None:
        """We make progress; due every `watchdog_interval`."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    microseconds = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
    return int(microseconds) / 3e6 if ours and microseconds.isdecimal() else None


def _line(text: str) -> str:
    """A newline would begin another assignment."""
    return " ".join(text.split())

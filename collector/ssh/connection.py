"""A kept login: one channel on a transport, on which the probe runs."""

from typing import Any

import gevent.event
from paramiko import Channel

from collector.ssh.phase import CHANNEL, Deadline
from collector.ssh.transport import WINDOW, TunedTransport, hang_up


class Connection:
    """A login on a machine with one channel, on which a program runs."""

    def __init__(self, transport: TunedTransport, channel: Channel, login_seconds: float) -> None:
        self._transport = transport
        self._channel = channel
        self._has_data = gevent.event.Event()
        channel.in_buffer.set_event(self._has_data)  # type: ignore[arg-type]
        self.login_seconds = login_seconds

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it yet, as far as is known here."""
        return self._transport.is_active() and not (self._channel.closed or self._channel.eof_received)

    def send(self, data: bytes) -> None:
        """Write to the program's standard input. Raises what `Deadline.during` translates."""
        try:
            self._channel.sendall(data)
        except OSError:
            self._transport.check()
            raise EOFError from None

    def receive(self) -> bytes:
        """Return what the program has written, a byte at least. Raises what `Deadline.during` translates."""
        # Not in recv: whoever is cut off or killed while it waits there can leave its lock broken.
        self._has_data.wait()
        data: bytes = self._channel.recv(65536)
        if not data:
            self._transport.check()
            raise EOFError
        return data

    def close(self) -> None:
        """Hang up, without waiting for anything."""
        hang_up(self._transport)


def open_channel(transport: TunedTransport, command: str, deadline: Deadline) -> Any:
    """Open the session's one channel and run a program on it; its standard error joins its standard output."""
    with deadline.during(CHANNEL):
        channel = transport.open_session(window_size=WINDOW)
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        transport.check()
    return channel

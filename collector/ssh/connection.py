"""A kept login: one channel on a transport, on which the probe runs.

What a poll does here is done for each machine every few seconds, so it takes none of paramiko's locks and conditions:
greenlets are not threads, and nothing here can be interrupted where it does not wait.
"""

import struct
from time import monotonic

from gevent import get_hub, getcurrent
from gevent.hub import Waiter
from paramiko import Channel, Message
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST

from collector.ssh.phase import CHANNEL, Deadline
from collector.ssh.resting import RestingTransport
from collector.ssh.transport import WINDOW, TunedTransport
from collector.ssh.wire import MOST_PACKETS

HEAD = struct.Struct(">BII")
"""A message's number, the channel's, and a count of bytes (RFC 4254, 5.2).

In MSG_CHANNEL_DATA so many follow; by MSG_CHANNEL_WINDOW_ADJUST, which ends there, so many more may be sent.
"""


class Inbox:
    """What a channel has received and nobody has taken yet; paramiko's Channel has it as its `in_buffer`.

    `fed_at` is when something last came, on the monotonic clock: who waits for it may be kept from the processor since.
    """

    def __init__(self) -> None:
        self._data = b""
        self._is_closed = False
        self.fed_at = 0.0
        self._waiter: Waiter[None] | None = None

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add what has come; the transport sees to it that this is no more than the window lets through."""
        self.fed_at = monotonic()
        self._data = self._data + data if self._data else data
        self._wake()

    def close(self) -> None:
        """Let it be known that nothing more will come."""
        self._is_closed = True
        self._wake()

    def take(self) -> bytes:
        """Return all that is there, and wait until there is something; nothing when nothing more will come."""
        while not self._data and not self._is_closed:
            self._waiter = Waiter()
            self._waiter.get()
        data, self._data = self._data, b""
        return data

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        # The waiter knows if whoever waited has been cut off meanwhile, and does nothing then.
        hub = get_hub()
        if getcurrent() is hub:
            waiter.switch(None)
        else:
            hub.loop.run_callback(waiter.switch, None)


class Connection:
    """A login on a machine with one channel, on which a program runs."""

    def __init__(self, transport: RestingTransport, channel: Channel, inbox: Inbox, login_seconds: float) -> None:
        self._transport = transport
        self._channel = channel
        self._inbox = inbox
        self._unacknowledged = 0
        transport.rest(channel)
        self.login_seconds = login_seconds
        self.agreement = transport.agreement

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it yet, as far as is known here."""
        return self._transport.is_active() and not (self._channel.closed or self._channel.eof_received)

    @property
    def has_program_ended(self) -> bool:
        """Whether the program has ended, and with it the channel; when the connection does nothing is known of it."""
        return bool(self._channel.eof_received) or (self._channel.closed and self._transport.is_active())

    def send(self, data: bytes) -> None:
        """Write to the program's standard input. Raises what `Deadline.during` translates."""
        channel, transport = self._channel, self._transport
        transport.expect_packets(MOST_PACKETS)
        try:
            if len(data) > min(channel.out_window_size, WINDOW // 8) or not transport.clear_to_send.is_set():
                # Too much for now, or keys are being exchanged: paramiko waits as it must.
                channel.sendall(data)
                return
            if channel.closed:
                raise EOFError
            channel.out_window_size -= len(data)
            transport.packetizer.send_message(
                Message(HEAD.pack(MSG_CHANNEL_DATA, channel.remote_chanid, len(data)) + data)
            )
        except OSError:
            transport.check()
            raise EOFError from None

    def receive(self) -> bytes:
        """Return what the program has written, a byte at least. Raises what `Deadline.during` translates."""
        data = self._inbox.take()
        if not data:
            self._transport.check()
            raise EOFError
        self._acknowledge(len(data))
        return data

    @property
    def received_at(self) -> float:
        """When the machine's last words came, on the monotonic clock."""
        return self._inbox.fed_at

    def _acknowledge(self, size: int) -> None:
        """Let the machine send as much again, now and then."""
        self._unacknowledged += size
        if self._unacknowledged > WINDOW // 10:
            size, self._unacknowledged = self._unacknowledged, 0
            adjustment = HEAD.pack(MSG_CHANNEL_WINDOW_ADJUST, self._channel.remote_chanid, size)
            self._transport._send_user_message(Message(adjustment))  # type: ignore[attr-defined]

    def close(self) -> None:
        """Hang up, without waiting for anything."""
        self._transport.hang_up()


def open_channel(transport: TunedTransport, command: str, deadline: Deadline) -> tuple[Channel, Inbox]:
    """Open the session's one channel and run a program on it; its standard error joins its standard output."""
    inbox = Inbox()
    with deadline.during(CHANNEL):
        channel = transport.open_session(window_size=WINDOW)
        transport.check()
        channel.in_buffer = inbox  # type: ignore[assignment]
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        transport.check()
    return channel, inbox

"""The private names of paramiko that collector/ssh relies on: one that changes fails here, by name."""

import inspect
import socket

import pytest
from paramiko import Channel, Message, Transport
from paramiko.packet import Packetizer

from collector.config.algorithms import ALGORITHMS
from collector.ssh.connection import Inbox
from collector.ssh.transport import EXCHANGES, TunedTransport
from collector.ssh.wire import TunedPacketizer


@pytest.mark.parametrize(
    "name",
    [
        "_active_check_timeout",
        "_check_banner",
        "_parse_disconnect",
        "_parse_kex_init",
        "_really_parse_kex_init",
        "_send_user_message",
    ],
)
def test_transport_has(name: str) -> None:
    """Transport still has what TunedTransport overrides and Connection calls."""
    assert hasattr(Transport, name)


@pytest.mark.parametrize("name", ["read_all", "readline", "write_all", "start_handshake", "complete_handshake"])
def test_packetizer_has(name: str) -> None:
    """Packetizer still has what TunedPacketizer overrides, with the same arguments."""
    theirs, ours = inspect.signature(getattr(Packetizer, name)), inspect.signature(getattr(TunedPacketizer, name))

    assert list(theirs.parameters) == list(ours.parameters)


def test_channel_has() -> None:
    """Channel still tells that the other side has closed it, and how much may be sent where."""
    one, other = socket.socketpair()
    with one, other:
        channel = Channel(1)
        channel._set_transport(TunedTransport(one))  # type: ignore[attr-defined]
        channel._set_remote_channel(2, 3, 4)  # type: ignore[attr-defined]

        assert {"closed", "eof_received", "in_buffer"} <= set(vars(channel))
        assert (2, 3) == (channel.remote_chanid, channel.out_window_size)


def test_channel_feeds_and_closes_its_inbox() -> None:
    """What a channel receives goes to the inbox that we gave it, and so does the end of it."""
    channel, inbox = Channel(1), Inbox()
    channel.in_buffer = inbox  # type: ignore[assignment]
    data = Message()
    data.add_string(b"said")
    data.rewind()

    channel._feed(data)  # type: ignore[attr-defined]
    channel._handle_eof(Message())  # type: ignore[attr-defined]

    assert [b"said", b""] == [inbox.take(), inbox.take()]


def test_transport_reads_through_our_packetizer_without_a_timer() -> None:
    """A transport uses our packetizer, and its socket has no timeout that would wake it ten times a second."""
    one, other = socket.socketpair()
    with one, other:
        transport = TunedTransport(one)

        assert isinstance(transport.packetizer, TunedPacketizer)
        assert one.gettimeout() is None


def test_algorithms_are_known() -> None:
    """Every algorithm that a login may use is one that paramiko knows by this name."""
    one, other = socket.socketpair()
    with one, other:
        options = Transport(one).get_security_options()
        known = {option: {*algorithms.usual, *algorithms.others} for option, algorithms in ALGORITHMS.items()}

        assert known["ciphers"] <= set(options.ciphers)
        assert known["macs"] <= set(options.digests)
        assert known["host_key_algorithms"] <= set(options.key_types)
        assert known["kex_algorithms"] <= set(EXCHANGES)

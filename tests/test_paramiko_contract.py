"""The private names of paramiko that collector/ssh relies on: one that changes fails here, by name."""

import inspect
import socket
from threading import Event

import pytest
from paramiko import Channel, Transport
from paramiko.packet import Packetizer

from collector.ssh.transport import CIPHERS, DIGESTS, DISABLED, TunedTransport
from collector.ssh.wire import TunedPacketizer


@pytest.mark.parametrize("name", ["_active_check_timeout", "_check_banner", "_parse_disconnect"])
def test_transport_has(name: str) -> None:
    """Transport still has what TunedTransport overrides."""
    assert hasattr(Transport, name)


@pytest.mark.parametrize("name", ["read_all", "readline", "start_handshake", "complete_handshake"])
def test_packetizer_has(name: str) -> None:
    """Packetizer still has what TunedPacketizer overrides, with the same arguments."""
    theirs, ours = inspect.signature(getattr(Packetizer, name)), inspect.signature(getattr(TunedPacketizer, name))

    assert list(theirs.parameters) == list(ours.parameters)


def test_channel_has() -> None:
    """Channel still tells that the other side has closed it."""
    assert {"closed", "eof_received", "in_buffer"} <= set(vars(Channel(1)))


def test_channel_tells_of_data_by_an_event() -> None:
    """The event that we wait on is set by data and by the end, and cleared once all data is read."""
    channel, event = Channel(1), Event()
    channel.in_buffer.set_event(event)
    seen = [event.is_set()]
    for act in (lambda: channel.in_buffer.feed(b"x"), lambda: channel.in_buffer.read(1), channel.in_buffer.close):
        act()
        seen.append(event.is_set())

    assert seen == [False, True, False, True]


def test_transport_reads_through_our_packetizer_without_a_timer() -> None:
    """A transport uses our packetizer, and its socket has no timeout that would wake it ten times a second."""
    one, other = socket.socketpair()
    with one, other:
        transport = TunedTransport(one)

        assert isinstance(transport.packetizer, TunedPacketizer)
        assert one.gettimeout() is None


def test_algorithms_are_known() -> None:
    """Every algorithm that we prefer or refuse is one that paramiko knows by this name."""
    one, other = socket.socketpair()
    with one, other:
        options = Transport(one).get_security_options()

        assert set(CIPHERS) <= set(options.ciphers)
        assert set(DIGESTS) <= set(options.digests)
        assert set(DISABLED["kex"]) <= set(options.kex)

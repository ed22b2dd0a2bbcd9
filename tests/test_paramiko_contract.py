"""The private names of paramiko and cryptography that collector/ssh relies on: one that changes fails here, by name."""

import inspect
import re
import socket
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.serialization import SSHCertificate
from paramiko import Channel, Message, Transport
from paramiko.agent import AgentSSH
from paramiko.auth_handler import AuthHandler
from paramiko.packet import Packetizer

from collector.config.algorithms import ALGORITHMS
from collector.ssh.auth import TunedAuthHandler
from collector.ssh.connection import Inbox
from collector.ssh.resting import Rest
from collector.ssh.transport import EXCHANGES, TunedTransport, Unlisted
from collector.ssh.trunk import Trunk
from collector.ssh.wire import TunedPacketizer


def source_of(kind: type, name: str) -> str:
    """The text of a private method."""
    return inspect.getsource(getattr(kind, name))


OVERRIDDEN = [
    "_active_check_timeout",
    "_expect_packet",
    "_send_kex_init",
    "_channel_handler_table",
    "_check_banner",
    "_kex_info",
    "_parse_disconnect",
    "_parse_ext_info",
    "_parse_kex_init",
    "_really_parse_kex_init",
    "_parse_channel_open_failure",
    "_parse_newkeys",
    "_send_user_message",
]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_transport_has(name: str) -> None:
    """Transport still has what TunedTransport and Trunk override and Connection calls."""
    assert hasattr(Transport, name)


def test_a_transport_says_what_has_become_of_it() -> None:
    """Transport still has what tells how far it came, and why it ends before it closes its channels."""
    one, other = socket.socketpair()
    with one, other:
        assert {"active", "saved_exception", "initial_kex_done", "host_key"} <= vars(TunedTransport(one)).keys()
    steps = ["self.saved_exception = e", "chan._unlink()", "self.active = False"]
    places = [inspect.getsource(Transport.run).index(step) for step in steps]
    assert places == sorted(places)


def test_trunk_opens_channels_as_transport_does() -> None:
    """What Trunk does instead of Transport.open_channel still has the parts that this has, and they do the same."""
    source = inspect.getsource(Transport.open_channel)
    steps = ["self._next_channel()", "self._channels.put(chanid, chan)", "self.channel_events[chanid]"]
    steps += ["self.channels_seen[chanid] = True", "chan._set_transport(self)", "chan._set_window(window_size"]

    assert [] == [step for step in steps if step not in source]
    assert "del self.channel_events[chanid]" in source_of(Transport, "_parse_channel_open_success")
    assert "for event in self.channel_events.values():" in inspect.getsource(Transport.run)


def test_trunk_is_asked_for_each_message() -> None:
    """A Transport looks up what handles a message by name, and a channel sends by the name that Trunk overrides."""
    one, other = socket.socketpair()
    with one, other:
        trunk: Any = Trunk(one)

        assert {trunk._parse_channel_open_failure, trunk._parse_newkeys} <= set(trunk._handler_table.values())
        assert "self.transport._send_user_message(m)" in source_of(Channel, "_handle_close")
        trunk.outbox.close()


READING = ["read_message", "read_all", "readline"]


@pytest.mark.parametrize("name", [*READING, "write_all", "start_handshake", "complete_handshake"])
def test_packetizer_has(name: str) -> None:
    """Packetizer still has what TunedPacketizer overrides, with the same arguments."""
    theirs, ours = inspect.signature(getattr(Packetizer, name)), inspect.signature(getattr(TunedPacketizer, name))

    assert list(theirs.parameters) == list(ours.parameters)


BEGINNING = ["packetizer.write_all", "_check_banner", "packetizer.start_handshake", "_send_kex_init", "_expect_packet"]


def test_a_transport_begins_as_we_think() -> None:
    """What RestingTransport leaves out, when it goes on, is all that Transport does before its loop, in this order."""
    beginning, loop, _ = inspect.getsource(Transport.run).partition("while self.active:")
    called = re.findall(r"^ +self\.(?!_log|sys)([\w.]+)\(", beginning, re.MULTILINE)

    assert loop
    assert BEGINNING == called


def test_a_transport_ends_at_its_rest_without_being_closed() -> None:
    """Rest, which is no Exception, passes through what Transport does at the end of a connection."""
    ending = inspect.getsource(Transport.run).rpartition("except Exception as e:")[2]

    assert not issubclass(Rest, Exception)
    assert "finally" not in ending.partition("_active_threads.remove(self)")[0]
    assert re.search(r"except:\n[^\n]*#(.|\n)*if self.sys.modules is not None:\n +raise", ending)


def test_paramiko_lists_transports_as_we_think() -> None:
    """The list of all transports, for which we have one that stays empty, is only added to and removed from."""
    source = inspect.getsource(paramiko.transport)

    assert isinstance(vars(paramiko.transport)["_active_threads"], Unlisted)
    assert 4 == source.count("_active_threads")
    assert all(f"_active_threads{use}" in source for use in (" = []", ".append(self)", ".remove(self)", ":\n"))


@pytest.mark.parametrize("name", ["_Packetizer__aead_in", "_Packetizer__etm_in"])
def test_packetizer_knows_of_its_cipher(name: str) -> None:
    """Packetizer still has what says whether a packet's length can be seen before it is decrypted."""
    one, other = socket.socketpair()
    with one, other:
        assert vars(TunedPacketizer(one))[name] is False


def test_agent_has() -> None:
    """AgentSSH can still be given a socket, and asks it for the keys."""
    assert list(inspect.signature(vars(AgentSSH)["_connect"]).parameters) == ["self", "conn"]


def test_handlers_of_ours_are_asked() -> None:
    """What we check before paramiko reads it comes to us: what handles a message is looked up by its name."""
    one, other = socket.socketpair()
    with one, other:
        transport: Any = TunedTransport(one)
        handler: Any = TunedAuthHandler(transport)

        assert transport._parse_ext_info in transport._handler_table.values()
        ours = {handler._parse_userauth_info_request, handler._parse_service_accept}
        assert ours <= set(handler._handler_table.values())


@pytest.mark.parametrize("method", ["auth_none", "auth_publickey", "auth_password", "auth_interactive"])
def test_auth_handler_has(method: str) -> None:
    """AuthHandler still begins an attempt without waiting for its end, which an event tells."""
    assert "event" in inspect.signature(getattr(AuthHandler, method)).parameters


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

    assert 4 == len(inbox)
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


def test_host_keys_are_offered_as_we_say() -> None:
    """What paramiko offers and takes as host keys comes from the property that we override, and from nowhere else."""
    assert isinstance(inspect.getattr_static(Transport, "preferred_keys"), property)
    source = inspect.getsource(Transport)
    assert 1 == source.count('self._filter_algorithm("keys")')
    one, other = socket.socketpair()
    with one, other:
        transport = TunedTransport(one)
        transport.prefer_host_keys(["ssh-rsa"], certificates=True)
        rsa = "rsa-sha2-512", "rsa-sha2-256"

        certified = tuple(f"{name}-cert-v01@openssh.com" for name in rsa)
        assert rsa == tuple(name for name in transport.preferred_keys if "cert" not in name)[:2]
        assert certified == transport.preferred_keys[:2]
        assert set(transport.preferred_keys) <= set(Transport._key_info)  # type: ignore[attr-defined]

        transport.accept_host_keys(["ssh-ed25519"])
        assert ("ssh-ed25519",) == transport.preferred_keys


def test_a_certificate_tells_what_it_is_signed_with() -> None:
    """The hash of an authority's signature is where we look for it: SHA-1 must not pass."""
    assert "self._inner_sig_type == _SSH_RSA" in inspect.getsource(SSHCertificate.verify_cert_signature)

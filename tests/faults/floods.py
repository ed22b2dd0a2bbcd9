"""Rows: the machine sends as much as it can, so that there is time for nothing else."""

import socket
from typing import Any

import gevent
import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_DEBUG, MSG_IGNORE
from rig.scripted import Script, shell
from rig.servers import BANNER, Behaviour, kexinit, packet

from faults.answers import Chunks, ready
from faults.fault import fault, raw, scripted

OLD_KEXINIT = kexinit()
"""Without strict key exchange, so that other messages may come in between."""


def repeats(payload: bytes) -> Behaviour:
    """Send a packet again and again in the middle of the key exchange, where that costs nothing."""
    packets = packet(payload) * (65536 // len(packet(payload)))

    def behaviour(connection: socket.socket) -> None:
        connection.sendall(BANNER + OLD_KEXINIT)
        while True:
            connection.sendall(packets)

    return behaviour


def pours(make: Any) -> Script:
    """Answer as one should, and then send messages of one's own without end, whatever the window."""

    def script(channel: paramiko.Channel) -> None:
        transport: Any = channel.get_transport()
        message = make(channel)

        def alter(chunks: Chunks) -> Chunks:
            yield from ready(chunks)
            yield next(chunks)
            gevent.sleep(0.1)  # The answer is whole, and taken.
            while True:
                transport._send_user_message(message)
                gevent.sleep(0)

        shell(alter)(channel)

    return script


def data(channel: Any) -> paramiko.Message:
    """Return 32 KiB of the program's output."""
    message = paramiko.Message()
    message.add_byte(bytes([MSG_CHANNEL_DATA]))
    message.add_int(channel.remote_chanid)
    message.add_string(b"y" * 32768)
    return message


def nothing(channel: Any) -> paramiko.Message:
    """Return a message that is to be ignored."""
    message = paramiko.Message()
    message.add_byte(bytes([MSG_IGNORE]))
    message.add_string(b"")
    return message


FAULTS = {
    "messages to be ignored, in the key exchange": fault(raw(repeats(bytes([MSG_IGNORE, 0, 0, 0, 0]))), "kex"),
    "messages for debugging, in the key exchange": fault(raw(repeats(bytes([MSG_DEBUG]) + bytes(9))), "kex"),
    "messages that do not exist, in the key exchange": fault(raw(repeats(b"\xc0")), "kex"),
    "messages to be ignored, after each answer": fault(scripted(pours(nothing))),
    "output beyond the window, after each answer": fault(scripted(pours(data))),
}

"""From a host's name to a socket."""

import socket
from collections.abc import Callable, Sequence
from typing import Any

from gevent.monkey import get_original

from collector.ssh.phase import CONNECT, RESOLVE, Deadline, Phase

numeric_getaddrinfo: Callable[..., Sequence[Any]] = get_original("socket", "getaddrinfo")

UNSENT_FOR = 20_000
"""Milliseconds (TCP_USER_TIMEOUT) until what nobody acknowledges ends a connection; the kernel takes 15 minutes."""


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first of the host's addresses that answers, in the order of the resolver.

    Raises:
        PollError: none did; it is of the last address.
    """
    with deadline.during(RESOLVE._replace(what=f"an address of {host}")):
        addresses = resolve(host, port)
    with deadline.during(connect_to(host, port)):
        for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            sock = socket.socket(family, kind, protocol)
            # An address that does not answer leaves time for those after it: a name can have a broken IPv6 and a good
            # IPv4.
            sock.settimeout(max(1.0, deadline.remaining / left))
            try:
                sock.connect(address)
                break
            except OSError:
                sock.close()
                if left == 1:
                    raise
            except BaseException:
                sock.close()
                raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_FOR)
    return sock


def connect_to(host: str, port: int) -> Phase:
    """Return the phase CONNECT, with the name of whom we wait for."""
    return CONNECT._replace(what=f"a connection to {host} port {port}")


def resolve(host: str, port: int) -> Sequence[Any]:
    """Return the host's addresses, as getaddrinfo does; what is an address already does not wait for a resolver."""
    try:
        return numeric_getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

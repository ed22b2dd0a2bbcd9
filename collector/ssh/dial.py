"""From a host's name to a socket."""

import errno
import os
import resource
import socket
from math import inf

from collector.ssh.phase import CONNECT, RESOLVE, Deadline, Phase
from collector.ssh.resolve import Resolver

UNSENT_FOR = 20_000
"""Milliseconds (TCP_USER_TIMEOUT) until what nobody acknowledges ends a connection; the kernel takes 15 minutes."""

ATTEMPT = 3.0
"""Seconds for an address that has others after it: a name can have a broken IPv6 and a good IPv4."""

RESERVED = 32
"""Descriptors that no session takes: for those who ask for the page, and for files."""


def dial(resolver: Resolver, host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first of the host's addresses that answers, in the order of the resolver.

    Raises:
        PollError: none did; it is of the last address.
    """
    with deadline.during(RESOLVE._replace(what=f"an address of {host}")):
        addresses = resolver.addresses(host)
    with deadline.during(connect_to(host, port)):
        for left, (family, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            sock = _socket(family)
            sock.settimeout(max(1.0, min(ATTEMPT, deadline.remaining / left)) if left > 1 else None)
            try:
                sock.connect((address[0], port, *address[2:]))
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


def descriptors() -> float:
    """Return how many descriptors this process may have."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if limit == resource.RLIM_INFINITY else limit


def _socket(family: socket.AddressFamily) -> socket.socket:
    """Return a new socket; OSError where it would take one of the last descriptors."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    limit = descriptors()
    # The kernel gives the lowest number that is free.
    if sock.fileno() >= limit - min(RESERVED, limit // 4):
        sock.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return sock

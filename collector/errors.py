"""The errors of the collector, and the reasons that people see.

    CollectorError
    ├── ConfigError              the configuration is not good: every problem of every file
    ├── ParseError               one gatherer could not read what the machine said
    └── PollError                a poll failed; each leaf has a `reason`, the label of the metric
        ├── NameUnresolved       dns
        ├── ConnectionRefused    refused
        ├── Unreachable          unreachable
        ├── ConnectTimeout       connect_timeout
        ├── BadBanner            banner
        ├── KeyExchangeFailed    kex
        ├── Incompatible         incompatible
        ├── HostKeyUnknown       host_key_unknown
        │   └── HostCertificateBad   host_key_unknown: it would be trusted with a good certificate
        ├── HostKeyChanged       host_key_changed
        ├── HostKeyRevoked       host_key_revoked
        ├── AuthenticationFailed auth
        ├── Throttled            throttled
        ├── ChannelFailed        channel
        ├── ShellFailed          shell
        ├── PollTimeout          timeout
        ├── OutputTooLarge       output_too_large
        ├── ProtocolViolation    protocol
        ├── ConnectionClosed     closed
        ├── JumpFailed           jump
        │   └── JumpDown         jump: the fault is not the machine's alone
        ├── LocalFailure         local
        └── Bug                  bug

A leaf says with `backoff` how long a machine is left alone after it: the first wait and the longest,
in seconds. The wait doubles from one failure to the next.
"""

from typing import ClassVar, NamedTuple


class Backoff(NamedTuple):
    """Seconds to wait after the first failure in a row, and at most."""

    first: float
    longest: float


SOON = Backoff(1, 60)
LATE = Backoff(30, 600)
"""sshd 9.8 and later punishes whoever connects and does not log in, and the neighbours behind the same NAT."""
NEVER = Backoff(float("inf"), float("inf"))
NONE = Backoff(0, 0)


def drop_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error, and what caused it, went through.

    They refer to the error in turn. What refers to itself is freed only by the garbage collector, and that takes half a
    second for 10,000 machines, in which everything stands still.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


class CollectorError(Exception):
    """Whatever the collector raises on purpose."""


class ConfigError(CollectorError):
    """The configuration is not good; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ParseError(CollectorError):
    """A gatherer could not read what the machine said."""


class PollError(CollectorError):
    """A poll failed."""

    reason: ClassVar[str]
    backoff: ClassVar[Backoff] = SOON


class NameUnresolved(PollError):
    """The host's name has no address, or nobody answered for it."""

    reason = "dns"


class ConnectionRefused(PollError):
    """Nothing listens on the port."""

    reason = "refused"


class Unreachable(PollError):
    """The network says that there is no way to the machine."""

    reason = "unreachable"


class ConnectTimeout(PollError):
    """No answer to the attempt to connect."""

    reason = "connect_timeout"


class BadBanner(PollError):
    """Something answers, but does not say that it speaks SSH 2."""

    reason = "banner"


class KeyExchangeFailed(PollError):
    """The key exchange was cut, broken or too slow."""

    reason = "kex"


class Incompatible(PollError):
    """The server and we have no algorithm in common."""

    reason = "incompatible"
    backoff = LATE


class HostKeyUnknown(PollError):
    """The machine's host key is not in known_hosts."""

    reason = "host_key_unknown"
    backoff = NEVER


class HostCertificateBad(HostKeyUnknown):
    """The machine showed a certificate that is not good, mostly an old one: it is the machine that must get another."""

    backoff = LATE


class HostKeyChanged(PollError):
    """known_hosts has another key for the machine, or another one is pinned."""

    reason = "host_key_changed"
    backoff = NEVER


class HostKeyRevoked(PollError):
    """known_hosts says that the machine's key is revoked."""

    reason = "host_key_revoked"
    backoff = NEVER


class AuthenticationFailed(PollError):
    """The server did not take our user and key."""

    reason = "auth"
    backoff = LATE


class Throttled(PollError):
    """The server takes no more logins for now (MaxStartups, PerSourcePenalties)."""

    reason = "throttled"
    backoff = LATE


class ChannelFailed(PollError):
    """The server gave no channel, or would not run a program on it."""

    reason = "channel"


class ShellFailed(PollError):
    """What runs on the channel is not a shell that can run the probe."""

    reason = "shell"
    backoff = LATE


class PollTimeout(PollError):
    """The answer to a poll did not come within the machine's `timeout`."""

    reason = "timeout"


class OutputTooLarge(PollError):
    """The machine said more than an answer may hold."""

    reason = "output_too_large"


class ProtocolViolation(PollError):
    """The machine said something that the protocol does not have."""

    reason = "protocol"


class ConnectionClosed(PollError):
    """The connection ended in the middle of a poll."""

    reason = "closed"


class JumpFailed(PollError):
    """The jump host on the way failed."""

    reason = "jump"


class JumpDown(JumpFailed):
    """There is no connection to the jump host. That is told once for it, and the pause is its own."""

    backoff = NONE


class LocalFailure(PollError):
    """This machine could not: no descriptor, no port, no memory, an unreadable file."""

    reason = "local"


class Bug(PollError):
    """Anything that is not of this tree: a mistake of ours, logged with its traceback."""

    reason = "bug"
    backoff = LATE

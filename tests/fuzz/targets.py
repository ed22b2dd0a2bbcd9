"""The targets, by name: what is called with bytes, and the inputs to begin with."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import getdoc
from typing import NamedTuple

from collector.gather import GATHERERS
from fuzz import answers, gathered, heads, hosts, own, wire


class Target(NamedTuple):
    """A function of bytes that raises when something is wrong, and its seeds."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    @property
    def claim(self) -> str:
        """What must hold, in a line."""
        function = self.check.func if isinstance(self.check, partial) else self.check
        return (getdoc(function) or "").partition("\n")[0]


TARGETS: Mapping[str, Target] = {
    **{f"gatherer-{name}": Target(partial(gathered.gather, name), gathered.seeds(name)) for name in GATHERERS},
    **{f"own-{name}": Target(partial(own.read, name), own.SEEDS[name]) for name in own.CUSTOMS},
    "probe-answer": Target(answers.answer, answers.ANSWERS),
    "probe-ready": Target(answers.ready, answers.READY),
    "probe-clock": Target(answers.clock, answers.CLOCKS),
    "probe-others": Target(answers.others, answers.OTHERS),
    "ssh-handshake": Target(wire.handshake, wire.HANDSHAKES),
    "ssh-sealed": Target(wire.sealed, wire.SEALED),
    "ssh-resting": Target(wire.resting, wire.SEALED),
    "known-hosts": Target(hosts.known_hosts, hosts.FILES),
    "http-request": Target(heads.request, heads.REQUESTS),
    "http-negotiate": Target(heads.negotiate, heads.ACCEPTS),
    "http-probe": Target(heads.probe, heads.QUERIES),
}

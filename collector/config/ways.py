"""`jump` -> the way to each machine: its jump hosts, the first one first, each with its settings.

As with `ssh -J`: the hops stand in the order in which they are passed, and what the first one itself has as its `jump`
comes before it. A hop is a section, enabled or not, or [user@]host[:port].
"""

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from collector.config import values
from collector.config.problems import Place, Problems, quoted
from collector.config.setting import Setting, Settings

Way = tuple[tuple[str, Settings], ...]
"""The name of each hop (its section's, or as it is written), and its settings."""

HOP = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^\[\]]+\]|[^\[\]:@]+)(?::(?P<port>[0-9]+))?")

MOST_HOPS = 8

BUILT_IN = {
    "port": Setting(Place(Path()), 0, "22", 22),
    "jump": Setting(Place(Path()), 0, "none", ()),
    "password_file": Setting(Place(Path()), 0, "none", None),
}
"""What holds for a hop that is no section where nobody says anything."""

OF_ONE_HOST = ("host", "port", "host_key", "host_key_alias", "jump")
"""The options that say something of a machine alone: a hop that is no section has all others as the machine has.

But no password that stands in the machine's own section: it is not for anybody on the way to see.
"""


class Ways:
    """The ways to the machines of a configuration, whose settings are `sections`, by name.

    `ask_ssh_config` adds to the settings of one host what ssh_config says of it. What is wrong with a `jump` is noted;
    there is no way then.
    """

    def __init__(
        self,
        sections: Mapping[str, Settings],
        ask_ssh_config: Callable[[Settings], Settings],
        problems: Problems,
    ) -> None:
        self._sections = sections
        self._ask_ssh_config = ask_ssh_config
        self._problems = problems
        self._settled: dict[str, Settings] = {}
        self._nearest: dict[str, str] = {}

    @property
    def enabled(self) -> list[str]:
        """The names of the machines that are polled."""
        return [name for name, settings in self._sections.items() if settings["enabled"].value]

    def settings(self, name: str) -> Settings:
        """Return the settings of a section, with what ssh_config says of its host."""
        if name not in self._settled:
            self._settled[name] = self._ask_ssh_config(self._sections[name])
        return self._settled[name]

    def to(self, name: str) -> Way:
        """Return the way to the machine of a section."""
        return self._to(name, self.settings(name), name, ())

    def _to(self, name: str, settings: Settings, section: str, behind: tuple[str, ...]) -> Way:
        """Return the way to a host, whose `jump` its section, or that of a machine behind it, has.

        `behind` are those to which this is a part of the way.
        """
        setting, words = settings["jump"], self._words(name, settings["jump"])
        if not words:
            return ()
        if words[0] in (circle := (*behind, name)):
            round_trip = ", ".join((*circle[circle.index(words[0]) :], words[0]))
            self._note(setting, f"goes round in a circle: {round_trip}; set jump = none in one of them")
            return ()
        if len(circle) > MOST_HOPS:
            self._note(setting, f"is the way to {quoted(behind[0])} with more than {MOST_HOPS} hops; shorten it")
            return ()
        hops = [(word, self._settings(word, section, setting)) for word in words]
        first, of_first = hops[0]
        before = self._to(first, of_first, first if first in self._sections else section, circle)
        way = (*before, *hops)
        passed = [hop for hop, _ in way]
        if twice := next((hop for hop in passed if hop == name or passed.count(hop) > 1), None):
            self._note(setting, f"passes {quoted(twice)} twice: {', '.join((*passed, name))}; take one away")
            return ()
        return way

    def _words(self, name: str, setting: Setting) -> tuple[str, ...]:
        """Return the hops that stand in a machine's `jump`; of an inherited one those before the machine itself."""
        words: tuple[str, ...] = setting.value or ()
        if name not in words:
            return words
        if setting.section.section == name:
            self._note(setting, f"{quoted(name)} is this machine itself; name another, or none")
            return ()
        return words[: words.index(name)]

    def _settings(self, hop: str, section: str, jump: Setting) -> Settings:
        """Return the settings of a hop; one that is no section has the machine's, but for what is of one host alone."""
        if hop in self._sections:
            return self.settings(hop)
        # Not what ssh_config says of the machine: that is of the machine alone.
        machine = self._sections[section]
        try:
            own = self._written(hop)
        except ValueError as error:
            self._note(jump, str(error))
            return {**machine, "jump": BUILT_IN["jump"]}
        inherited = {option: value for option, value in machine.items() if option not in OF_ONE_HOST}
        if inherited["password_file"].section.section == section:
            del inherited["password_file"]
        given = {option: jump._replace(text=str(value), value=value) for option, value in own.items()}
        settings = self._ask_ssh_config({**BUILT_IN, **inherited, **given})
        key = settings["key_file"]
        # Where nobody has set a key, what is wrong with the usual one is told of the line that wants it.
        return settings if key.line else settings | {"key_file": key._replace(section=jump.section, line=jump.line)}

    def _written(self, hop: str) -> dict[str, object]:
        """Return what a hop that is no section says by itself; ValueError if it is none."""
        match = HOP.fullmatch(hop)
        if not match:
            raise ValueError(f"neither a section nor a host: {quoted(hop)}; write [user@]host[:port], IPv6 in brackets")
        if match["host"] == hop and (close := self._close(hop)):
            raise ValueError(f"no section {quoted(hop)}; did you mean {close}? (A host of this name: {hop}:22)")
        own: dict[str, object] = {"host": values.host(match["host"])}
        own |= {"port": values.whole(match["port"], 1, 65535)} if match["port"] else {}
        return own | ({"user": values.user(match["user"])} if match["user"] else {})

    def _close(self, hop: str) -> str:
        """Return the name of a section that a lone word was probably meant to be."""
        if hop not in self._nearest:
            plain = re.fullmatch(r"[^.]+", hop)
            close = difflib.get_close_matches(hop, self._sections, 1, 0.8) if plain else []
            self._nearest[hop] = close[0] if close else ""
        return self._nearest[hop]

    def _note(self, setting: Setting, fault: str) -> None:
        self._problems.append((setting.place("jump"), fault))

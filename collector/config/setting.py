"""Settings: what the sections of a configuration say, each value with the place where it stands."""

from typing import Any, NamedTuple

from collector.config.problems import Place


class Setting(NamedTuple):
    """The value and the text of an option, and where it stands; the value is None if the text is wrong (and noted)."""

    section: Place
    line: int
    text: str
    value: Any

    def place(self, option: str) -> Place:
        """Return the place of the option whose setting this is."""
        return self.section._replace(line=self.line, option=self.section.option or option)


Settings = dict[str, Setting]

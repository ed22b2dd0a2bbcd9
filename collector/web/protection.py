"""What `web_config` says, at any moment: the file, and those that it names, take effect when they change.

Contents that are not good change nothing, nor do such as would let in who is kept out now: a file that an editor has
half written may well be a good one, without its last lines.
"""

import logging
from pathlib import Path

from collector.config.document import content
from collector.config.problems import in_order
from collector.config.web import WebConfig, read
from collector.errors import ConfigError

log = logging.getLogger(__name__)


class Protection:
    """The web configuration of a file; without one everybody is let in. The first look raises ConfigError."""

    def __init__(self, file: Path | None = None) -> None:
        self.readable = True
        """Whether what is in the files now is in force."""
        self._file = file
        self._config = WebConfig()
        if file:
            self._config, problems, self._contents = read(file)
            if problems:
                raise ConfigError(in_order(problems, [file]))

    def now(self) -> WebConfig:
        """Return what is in force, after a look at the files."""
        if self._file and any(content(file) != before for file, before in self._contents.items()):
            self._read(self._file)
        return self._config

    def _read(self, file: Path) -> None:
        config, problems, self._contents = read(file)
        faults = in_order(problems, [file]) or refusals(file, self._config, config)
        self.readable = not faults
        for fault in faults:
            log.error("the web configuration before stays in force: %s", fault)
        if not faults:
            self._config = config
            log.info("the web configuration has changed and is in force")


def refusals(file: Path, before: WebConfig, after: WebConfig) -> list[str]:
    """Return why a good configuration cannot follow another while the server runs."""
    gone = [
        f"{file}: {name} has gone: that takes effect with a restart" for name in sorted(before.guards - after.guards)
    ]
    if after.context and not before.context:
        return [*gone, f"{file}: tls_server_config is new: that takes effect with a restart"]
    return gone

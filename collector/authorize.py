"""The command `authorize`: lines for authorized_keys with which a key can do nothing but answer our polls."""

import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from collector import gather, probe
from collector.daemon import read
from collector.errors import ConfigError
from collector.once import chosen
from collector.snapshot import Standing
from collector.ssh.known_hosts import fields

MOST_LINE = 4000
"""Bytes of a line; dropbear takes a little more, but not 4,441."""

FILES = tuple(file for file in gather.files(gather.GATHERERS) if file != probe.CLOCK)
"""What the key may read: the files of every gatherer, so that another `gather =` needs no other line."""

HINT = """\
For ~/.ssh/authorized_keys of the user on each machine, instead of the line that the key has there now.
With it the key can do nothing but answer polls. `collector check --connect` shows which machines have it.
"""


def run(path: Path, sections: Sequence[str]) -> int:
    """Print a line for each key of the machines, or of those named. Raises ConfigError."""
    config, identities = read(path, known_hosts_needed=False)
    machines = {machine.name: identities[machine.identity_files].blob for machine in chosen(config, sections)}
    if sys.stdout.isatty():
        print(HINT, file=sys.stderr)
    for name in [name for name, blob in machines.items() if blob is None]:
        print(f"{name}: logs in with a password, which no line can restrict", file=sys.stderr)
    for blob in dict.fromkeys(filter(None, machines.values())):
        print(line(f"{next(fields(blob)).decode()} {b64encode(blob).decode()}"))
    return 0


def line(public: str) -> str:
    """Return the line of authorized_keys for a public key, "type base64". Raises ConfigError: it is too long."""
    made = f'restrict,command="{probe.forced_command(FILES)}" {public} collector'
    if len(made) > MOST_LINE:
        kind, _, base64 = public.partition(" ")
        raise ConfigError(
            [f"a line of {MOST_LINE} bytes cannot hold a key of {len(base64)} ({kind}); use an Ed25519 key instead"]
        )
    return made


def remark(standing: Standing) -> str | None:
    """Return what is to be said of a machine's line in authorized_keys, if anything."""
    ready = standing.ready
    if ready is None or ready.mode == probe.SENT or (ready.sha256, ready.files) == (probe.program(FILES).sha256, FILES):
        return None
    missing = [file for file in gather.files(standing.machine.gather) if file not in (*ready.files, probe.CLOCK)]
    lacks = f" and may not read {', '.join(missing)}" if missing else ""
    return (
        f"the line in authorized_keys is of another version of the collector{lacks}; "
        "put the one there that `collector authorize` prints"
    )

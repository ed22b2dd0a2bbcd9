"""The command `authorize`: lines for authorized_keys with which a key can do nothing but answer our polls."""

import sys
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

from collector import custom, gather, probe
from collector.daemon import read
from collector.errors import ConfigError
from collector.gather import Gatherer
from collector.once import chosen
from collector.snapshot import Standing
from collector.ssh.known_hosts import fields

MOST_LINE = 16_000
"""Bytes of a line: what OpenSSH takes."""

EVERYBODY = 4000
"""Bytes of a line that every server takes; dropbear takes a little more, but not 4,441, and old OpenSSH 8,191."""

LONG = f"dropbear takes {EVERYBODY}, and old OpenSSH 8191; where that is too long let the machines gather less"

HINT = """\
For ~/.ssh/authorized_keys of the user on each machine, instead of the line that the key has there now.
With it the key can do nothing but answer polls. `collector check --connect` shows which machines have it.
"""


def run(path: Path, sections: Sequence[str]) -> int:
    """Print a line for each key of the machines, or of those named. Raises ConfigError."""
    config, identities = read(path, known_hosts_needed=False)
    gathered: dict[bytes, set[str]] = {}
    own: dict[bytes, dict[Gatherer, None]] = {}
    without = []
    for machine in chosen(config, sections):
        blob = identities[machine.identity_files].blob
        if blob is None:
            without.append(machine.name)
        else:
            gathered.setdefault(blob, set()).update(machine.gather)
            own.setdefault(blob, {}).update(dict.fromkeys(custom.own(machine)))
    if sys.stdout.isatty():
        print(HINT, file=sys.stderr)
    for name in without:
        print(f"{name}: logs in with a password, which no line can restrict", file=sys.stderr)
    for blob, names in gathered.items():
        made = line(f"{next(fields(blob)).decode()} {b64encode(blob).decode()}", names, tuple(own[blob]))
        if len(made) > EVERYBODY:
            print(f"a line of {len(made)} bytes: {LONG}", file=sys.stderr)
        print(made)
    return 0


def allowed(gatherers: Iterable[str], own: Sequence[Gatherer] = ()) -> tuple[str, ...]:
    """Return the files that these gatherers read, in the same order whatever theirs is: equal lines look equal.

    Those of people's `own` come last.
    """
    wanted = {*gather.files(gatherers, own)} - {probe.CLOCK}
    files = dict.fromkeys([*gather.files(gather.GATHERERS), *[file for one in own for file in one.files]])
    return tuple([file for file in files if file in wanted])


def line(public: str, gatherers: Iterable[str], own: Sequence[Gatherer] = ()) -> str:
    """Return the line of authorized_keys for a public key, "type base64". Raises ConfigError: it is too long."""
    made = f'restrict,command="{probe.forced_command(allowed(gatherers, own))}" {public} collector'
    if len(made) > MOST_LINE:
        kind, _, base64 = public.partition(" ")
        raise ConfigError(
            [f"a line of {MOST_LINE} bytes cannot hold a key of {len(base64)} ({kind}); use an Ed25519 key instead"]
        )
    return made


def remark(standing: Standing) -> str | None:
    """Return what is to be said of a machine's line in authorized_keys, if anything."""
    ready = standing.ready
    if ready is None or ready.mode == probe.SENT:
        return None
    machine = standing.machine
    missing = [file for file in allowed(machine.gather, custom.own(machine)) if file not in ready.files]
    faults = ["is of another version of the collector"] if ready.sha256 != probe.program(ready.files).sha256 else []
    faults += [f"may not read {', '.join(map(probe.shown, missing))}"] if missing else []
    if not faults:
        return None
    return f"the line in authorized_keys {' and '.join(faults)}; put the one there that `collector authorize` prints"

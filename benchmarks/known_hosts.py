"""What a big known_hosts costs: to read it, to look hosts up in it, and how long everything else waits meanwhile.

    .venv/bin/python -m benchmarks.known_hosts [--lines 10000] [--broken 20] [--paramiko 400]

A row for a plain file and one for a hashed file, of one key for each of so many hosts, with broken lines among them:

    load            from the change of the file to the new index in force
    known           a look-up of a host that shows its own key, as each login does; the median of all hosts
    other           the first look-up of a host that shows another key, for which every hashed name must be tried
    unknown         the same of a host that is not in the file
    hub lag         the worst delay of a timer while all this is going on
    paramiko        load and look-up of paramiko's own reader, for so many lines only (its time grows with the square)
"""

from gevent import monkey

monkey.patch_all()

import argparse
import base64
import hashlib
import hmac
import logging
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter

import gevent
import paramiko

from collector.config import Login
from collector.errors import HostKeyChanged, HostKeyUnknown
from collector.ssh.hostkeys import HostKeys, Trust
from collector.ssh.known_hosts import HostKey

COLUMNS = ("file", "load ms", "known µs", "other ms", "unknown ms", "hub lag ms")


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--paramiko", type=int, default=400, help="lines for paramiko's reader; 0 for none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known_hosts"
        print("  ".join(f"{column:>11}" for column in COLUMNS))
        for name in (plain, hashed):
            print("  ".join(f"{cell:>11}" for cell in measure(path, name, options.lines, options.broken)), flush=True)
        if options.paramiko:
            for name in (plain, hashed):
                write(path, name, options.paramiko, 0)
                load, look_up = measure_paramiko(path)
                print(f"paramiko, {options.paramiko} {name.__name__}: load {load:.0f} ms, look-up {look_up:.2f} ms")


def host(number: int) -> str:
    """The name of a host."""
    return f"host{number}.example.org"


def key(number: int) -> HostKey:
    """The key of a host."""
    body = hashlib.sha256(str(number).encode()).digest()
    return HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + body)


def plain(name: str) -> str:
    """A name as it is."""
    return name


def hashed(name: str) -> str:
    """A name as ssh-keygen -H writes it."""
    salt = random.randbytes(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def write(path: Path, name: Callable[[str], str], count: int, broken: int) -> None:
    """Write a file of so many lines, the broken ones spread over it."""
    lines = [f"{name(host(n))} ssh-ed25519 {base64.b64encode(key(n).blob).decode()}\n" for n in range(count)]
    for number in range(broken):
        place = number * count // broken
        lines[place] = lines[place][: 10 + 3 * (number % 20)].rstrip() + "\n"
    path.write_text("".join(lines))


def measure(path: Path, name: Callable[[str], str], count: int, broken: int) -> list[str]:
    """Measure one file; the cells of its row."""
    write(path, name, count, broken)
    logging.disable()
    host_keys = HostKeys()
    good = [number for number in range(count) if not broken or number % (count // broken)]
    with lag() as worst:
        began = perf_counter()
        host_keys.file(path).refresh()
        load = perf_counter() - began
        index = host_keys.file(path).index
        assert index is not None
        assert len(index.problems) == broken
        known = [timed(trust(host_keys, path, number), key(number)) for number in good]
        other = [timed(trust(host_keys, path, number), key(-1), HostKeyChanged) for number in good[:100]]
        unknown = [timed(trust(host_keys, path, count + n), key(count + n), HostKeyUnknown) for n in range(100)]
    cells = [1e3 * load, 1e6 * statistics.median(known), *(1e3 * statistics.median(each) for each in (other, unknown))]
    return [name.__name__, *(f"{cell:.2f}" for cell in cells), f"{1e3 * worst[0]:.1f}"]


def trust(host_keys: HostKeys, path: Path, number: int) -> Trust:
    """Who is trusted to be a host."""
    login = Login(host=host(number), port=22, user="u", key_file=path, known_hosts=(path,), login_timeout=1.0)
    return host_keys.trust(login)


def timed(trust: Trust, key: HostKey, expected: type[Exception] | None = None) -> float:
    """Seconds of what a login asks: the types that are known, and whether the key is good."""
    verdict: type[Exception] | None = None
    began = perf_counter()
    try:
        trust.refresh()
        trust.kinds()
        trust.check(key)
    except (HostKeyUnknown, HostKeyChanged) as error:
        verdict = type(error)
    took = perf_counter() - began
    assert verdict is expected
    gevent.sleep(0)
    return took


@contextmanager
def lag() -> Iterator[list[float]]:
    """The greatest delay of a timer of a millisecond, while the context lasts."""
    worst = [0.0]

    def watch() -> None:
        while True:
            due = monotonic() + 0.001
            gevent.sleep(0.001)
            worst[0] = max(worst[0], monotonic() - due)

    greenlet = gevent.spawn(watch)
    gevent.sleep(0)
    try:
        yield worst
    finally:
        greenlet.kill()


def measure_paramiko(path: Path) -> tuple[float, float]:
    """Milliseconds of paramiko's reader: for the file, and for one host."""
    began = perf_counter()
    keys = paramiko.HostKeys(os.fspath(path))
    loaded = perf_counter()
    with suppress(KeyError):
        keys.lookup("nobody")
    return 1e3 * (loaded - began), 1e3 * (perf_counter() - loaded)


if __name__ == "__main__":
    main()

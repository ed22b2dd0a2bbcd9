"""The targets of `make fuzz`, kept alive without atheris: on their seeds, on anything, on seeds that were changed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from fuzz import gathered
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.gather import GATHERERS

ROOT = Path(__file__).parents[1]

EDIT = st.tuples(st.integers(0, 9999), st.integers(0, 8), st.binary(max_size=8))
"""Where to change an input, how many bytes to take out there, and what to put in their place."""


def edited(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """A seed after some changes."""
    for at, cut, new in edits:
        place = at % (len(seed) + 1)
        seed = seed[:place] + new + seed[place + cut :]
    return seed


def test_every_gatherer_is_a_target_and_every_target_has_seeds() -> None:
    """A gatherer is a target by being there, and begins with its fixtures; a target says what must hold."""
    assert {f"gatherer-{name}" for name in GATHERERS} <= TARGETS.keys()
    assert [] == [name for name, target in TARGETS.items() if not target.seeds or not target.claim]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """What must hold of a target holds on each of its seeds."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_anything(name: str, data: bytes) -> None:
    """What must hold of a target holds on any bytes."""
    TARGETS[name].check(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_changed_seeds(name: str, data: st.DataObject) -> None:
    """What must hold of a target holds on what is like one of its seeds."""
    seed = data.draw(st.sampled_from(TARGETS[name].seeds))
    TARGETS[name].check(edited(seed, data.draw(st.lists(EDIT, min_size=1, max_size=6))))


@pytest.mark.parametrize(
    "text",
    [
        *[f"{name}: 5 kB\n" for name in ("MemTotal", "Active(anon)", "A_total", "A_created", "A_bucket", "A_info")],
        "A: 1\nA_created: 2\nA_total: 3\nA_info: 4\n",
        "".join(f"F{number}: {number}\n" for number in range(200))[:-1],
    ],
)
def test_a_page_reads_back(text: str) -> None:
    """Names that mean something to OpenMetrics, and more lines than there may be, make no page that is refused."""
    gathered.gather("memory", text.encode())


def test_the_command(tmp_path: Path) -> None:
    """`make fuzz` runs a target, keeps what it found, runs an input again; without atheris it says what is wanted."""

    def fuzz(*arguments: str) -> tuple[int, str]:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
        argv = [sys.executable, "-m", "fuzz", *arguments]
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    (tmp_path / "input").write_bytes(b"1700000000")
    assert (0, "probe-clock holds on input\n") == fuzz("--again", "input", "probe-clock")
    code, said = fuzz("--seconds", "1", "probe-clock")
    if find_spec("atheris"):
        assert code == 0
        assert "holds" in said
        assert list((tmp_path / "build/fuzz/probe-clock").iterdir())
    else:
        assert code == 1
        assert "it knows Python 3.11 to 3.13" in said

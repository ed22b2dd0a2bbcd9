"""Every row of the matrix: a fault befalls one machine, and nobody else notices."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rig.matrix import Matrix
from rig.sshd import Sshd

from collector.errors import PollError
from faults import answers, connections, floods, handshakes, logins, networks
from faults.fault import Fault
from faults.ward import Seen, observe

pytestmark = pytest.mark.needs("root", "namespaces", "setpriv", "sshd")

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
COLUMNS = ("reason", "found", "up again")

WARDS: Mapping[str, Mapping[str, Fault[Any]]] = {
    "Connections": connections.FAULTS,
    "Networks": networks.FAULTS,
    "Handshakes": handshakes.FAULTS,
    "Logins": logins.FAULTS,
    "Answers": answers.FAULTS,
    "Floods": floods.FAULTS,
}
TABLES = {ward: Matrix(DOCUMENT, ward, tuple(faults), COLUMNS) for ward, faults in WARDS.items()}
MARKS = {"Networks": pytest.mark.needs(*networks.NEEDS)}
ROWS = [
    pytest.param(ward, name, id=f"{ward}: {name}", marks=MARKS.get(ward, ()))
    for ward, faults in WARDS.items()
    for name in faults
]


@pytest.fixture(scope="module")
def seen(
    request: pytest.FixtureRequest, shared_sshd: Sshd, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Seen]:
    """`seen(ward, name)`: what was seen of a fault; those of its ward that are to be tested too befall with it."""
    wanted: dict[str, dict[str, Fault[Any]]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.originalname == test_fault.__name__:
            ward, name = str(item.callspec.params["ward"]), str(item.callspec.params["name"])
            wanted.setdefault(ward, {})[name] = WARDS[ward][name]
    outcomes: dict[str, dict[str, Seen]] = {}

    def seen(ward: str, name: str) -> Seen:
        if ward not in outcomes:
            folder = tmp_path_factory.mktemp("ward")
            if ward == "Networks":
                outcomes[ward] = networks.observe(wanted[ward], shared_sshd.key, folder)
            else:
                outcomes[ward] = observe(wanted[ward], shared_sshd, folder)
        return outcomes[ward][name]

    return seen


@pytest.mark.parametrize(("ward", "name"), ROWS)
def test_fault(ward: str, name: str, seen: Callable[[str, str], Seen], regen: bool) -> None:
    """Its poll ends in time and says why, its data go, the others and the daemon do not notice, and it heals."""
    outcome = seen(ward, name)

    assert not outcome.problems, "\n".join(outcome.problems)
    for column, text in zip(COLUMNS, (outcome.reasons, outcome.found, outcome.over), strict=True):
        TABLES[ward].check(name, column, text, regen)


def test_the_table_has_no_row_without_a_test() -> None:
    """The tables of docs/faults.md have the rows that are tested, in their order, and no others."""
    for ward, table in TABLES.items():
        assert list(WARDS[ward]) == list(dict.fromkeys(row for row, _ in table.cells()))


ELSEWHERE = {"dns", "jump", "local", "bug"}
"""Reasons of faults that are not of one machine alone, or need more than a proxy to be made."""


def test_every_reason_is_provoked() -> None:
    """The rows, and what needs tests of its own, know every leaf of the error tree, and its reasons differ."""
    reasons = [leaf.reason for leaf in PollError.__subclasses__()]
    provoked = {reason for faults in WARDS.values() for one in faults.values() for reason in one.reasons} - {"up"}

    assert len(reasons) == len(set(reasons))
    assert set(reasons) == provoked | ELSEWHERE

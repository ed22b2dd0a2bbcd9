"""A connection that is cut, reset, held or corrupted: at each packet of a login, at every byte, and in an answer.

What is seen must not depend on where that happens to be. Which packet belongs to which phase of a login is found out
by holding each: the reasons that a damaged connection may have follow from that.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import pytest
from rig.sshd import Sshd
from rig.strike import KINDS, Strike
from rig.wait import until

from collector.ssh.transport import TunedTransport
from faults.struck import PATIENT, WAYS, Blow, Seen, Way, again, deal, size_of_an_answer, ward

pytestmark = [pytest.mark.needs("root", "namespaces", "setpriv", "sshd"), pytest.mark.limit(1200)]

MOST_PACKETS = 18
"""More than a login has, either way."""

PHASES = ("banner", "kex", "auth", "channel", "shell", "timeout")
"""What a poll fails for when nothing more comes, from its begin to its end."""

SOME = 60
"""Bytes that are picked where not every one is struck."""

Landmarks = dict[Way, list[tuple[int, str]]]
"""Of each way, where its packets begin, after the banner, and the phase that fails when nothing comes from there on."""


def reasons(phase: str, blow: Blow) -> set[str]:
    """Why a poll may fail when this befalls it in a phase."""
    early = phase in ("banner", "kex")
    match blow.strike.kind:
        case "hold":
            return {phase}
        case "cut" | "reset":
            return {phase} if early else {"closed"}
    # A length that is another may be waited for; the other side may have noticed first, and hung up.
    waits = {phase, "closed"} if blow.way == "up" and not early else {phase}
    # Algorithms with another name may be none; padding is nobody's, before there are keys.
    return waits | ({"kex", "incompatible", "protocol", "up"} if early else {"protocol"})


def fitting(blow: Blow, landmarks: Landmarks) -> set[str]:
    """Why a login may fail that is struck here: as in this packet's phase, or its neighbours', for they overlap.

    Who finds the connection ended may have yet to read what came before that.
    """
    places = landmarks[blow.way]
    if blow.strike.packet is not None:
        number = blow.strike.packet + 1
    else:
        number = max(number for number, (start, _) in enumerate(places) if start <= blow.strike.byte)
    before = 2 if blow.strike.is_end else 1
    near = {phase for _, phase in places[max(0, number - before) : number + 2]}
    return set.union(*(reasons(phase, blow) for phase in near))


def misfits(seen: Sequence[Seen], landmarks: Landmarks) -> list[str]:
    """What is not as it must be."""
    told = [f"{one.blow}: {problem}" for one in seen for problem in one.problems]
    return told + [
        f"{one.blow}: {one.reason}: {one.text}" for one in seen if one.reason not in fitting(one.blow, landmarks)
    ]


def check(server: Sshd, blows: Sequence[Blow], landmarks: Landmarks) -> None:
    """Deal blows to logins; whatever was too slow to get as far as its blow has another try."""
    seen = deal(server, blows)
    slow = [one for one in seen if one.reason in PHASES and one.reason not in fitting(one.blow, landmarks)]
    if len(slow) <= SOME // 6:
        seen = [one for one in seen if one not in slow] + again(server, [one.blow for one in slow])

    assert len(seen) == len(blows)
    assert not (told := misfits(seen, landmarks)), "\n".join(told)


@pytest.fixture(autouse=True)
def _nothing_is_left(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No transport runs on when a test has ended, and nobody has written to standard error."""
    yield
    until(lambda: not [one for one in threading.enumerate() if isinstance(one, TunedTransport)], "no transport is left")
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def landmarks(shared_sshd: Sshd) -> Landmarks:
    """Where the packets of a login begin, and what each is for."""
    holds = [Blow(Strike("hold", packet=number), way) for way, number in product(WAYS, range(MOST_PACKETS))]
    found: Landmarks = {way: [(0, "banner")] for way in WAYS}
    for one in sorted(deal(shared_sshd, holds, login_timeout=5.0), key=lambda one: one.went):
        assert not one.problems
        if one.reason != "up":
            found[one.blow.way].append((one.went, one.reason))
    if found["down"][-1][1] != "timeout":
        # Now and then two packets are one: the number of one login's answer is past that of another's.
        found["down"].append((found["down"][-1][0] + 1, "timeout"))
    return found


@pytest.fixture
def every_byte(request: pytest.FixtureRequest) -> bool:
    """Whether no byte is left out."""
    return bool(request.config.getoption("--every-byte"))


def test_the_phases_follow_each_other(landmarks: Landmarks) -> None:
    """The later in a login nothing more comes, the later the phase that the poll fails in; each has its place."""
    for way in WAYS:
        phases = [phase for _, phase in landmarks[way]]
        assert phases == sorted(phases, key=PHASES.index)
        assert set(phases) >= set(PHASES) - {"timeout"}
        assert len(phases) > 8


def test_every_packet(shared_sshd: Sshd, landmarks: Landmarks) -> None:
    """A login that is struck at its k-th packet, either way, at its begin or in it, fails for what fits."""
    blows = []
    for way in WAYS:
        numbers = range(len([phase for _, phase in landmarks[way][1:] if phase != "timeout"]))
        blows += [Blow(Strike(kind, at, number), way) for number, kind, at in product(numbers, KINDS, (0, 5, 20))]
    check(shared_sshd, blows, landmarks)


def test_every_byte(shared_sshd: Sshd, landmarks: Landmarks, every_byte: bool) -> None:
    """A login that is struck at any byte that the machine sends fails for what fits.

    Unless every byte is to be struck in every way, each of those before the keys is struck in one way or two, and of
    the others some.
    """
    chance = random.Random(0)
    whole = landmarks["down"][-1][0] + 1500
    clear = next(start for start, phase in landmarks["down"] if phase == "auth")
    if every_byte:
        blows = [Strike(kind, at, bit=chance.randrange(8)) for at, kind in product(range(whole), KINDS)]
    else:
        blows = [Strike(("cut", "reset", "corrupt")[at % 3], at, bit=chance.randrange(8)) for at in range(clear)]
        blows += [Strike("hold", at) for at in range(0, clear, 8)]
        blows += [Strike(kind, chance.randrange(clear, whole), bit=chance.randrange(8)) for kind in KINDS * (SOME // 4)]
    check(shared_sshd, [Blow(strike) for strike in blows], landmarks)


def test_every_byte_of_an_answer(shared_sshd: Sshd, every_byte: bool) -> None:
    """A session whose answer is struck fails, or is replaced within the poll, and nothing wrong is taken for data."""
    chance = random.Random(0)
    size = size_of_an_answer(shared_sshd)
    some = [*range(6), *(chance.randrange(size) for _ in range(SOME // 4))]
    blows = [
        Blow(Strike(kind, at, bit=chance.randrange(8)), in_answer=True)
        for at, kind in product(range(size) if every_byte else some, KINDS)
    ]
    # What is not yet an answer when the connection ends is asked for again.
    cut = {"closed", "up"}
    fitting = {"hold": {"timeout"}, "cut": cut, "reset": cut, "corrupt": {"protocol", "timeout"}}

    seen = deal(shared_sshd, blows)

    assert len(seen) == len(blows)
    assert not [one for one in seen if one.problems or one.reason not in fitting[one.blow.strike.kind]]


def test_every_byte_of_a_jump_hosts_connection(
    shared_sshd: Sshd, sshd: Callable[..., Sshd], landmarks: Landmarks, every_byte: bool
) -> None:
    """A jump host's connection that is struck is its failure, also when it is the login behind it that goes through."""
    chance, behind = random.Random(0), sshd()
    with ward(shared_sshd, 1, behind) as (machine,):
        # No two logins have the same size, and this one must be there before the answer is.
        sizes = {way: size - 300 for way, size in machine.sizes_of_a_login().items()}
    places = {way: range(size) if every_byte else chance.sample(range(size), SOME // 2) for way, size in sizes.items()}
    blows = [
        Blow(Strike(kind, at, bit=chance.randrange(8)), way) for way in WAYS for at in places[way] for kind in KINDS
    ]
    auths = {way: [start for start, phase in landmarks[way] if phase == "auth"] for way in WAYS}
    # The server has said that it has keys before we say so, and what waits for that is the login.
    clear = {"up": auths["up"][1], "down": auths["down"][0]}

    def fits(one: Seen) -> bool:
        blow = one.blow
        if blow.strike.kind != "corrupt":
            return one.reason == "jump"
        # Padding is nobody's, before there are keys. Of a packet whose length is another, what the jump host says when
        # it is asked whether it is there is some more.
        spared = {"up"} if blow.strike.byte < clear[blow.way] else set(PHASES) if blow.way == "down" else set()
        return one.reason in {"jump", *spared}

    seen = deal(shared_sshd, blows, behind=behind, login_timeout=PATIENT)

    assert len(seen) == len(blows)
    told = [f"{one.blow}: {one.reason}: {one.text} {one.problems}" for one in seen if one.problems or not fits(one)]
    assert not told, "\n".join(told)

"""Rows: the probe runs, and what comes is not its answer."""

from collections.abc import Callable, Iterator, Mapping

import gevent
from rig.scripted import shell

from faults.fault import Befall, fault, scripted

Chunks = Iterator[bytes]


def ready(chunks: Chunks) -> Iterator[bytes]:
    """All up to the READY line, which comes in as many pieces as the shell likes."""
    for chunk in chunks:
        yield chunk
        if chunk.endswith((b"bash\n", b"sh\n")):
            return


def nothing_more(chunks: Chunks) -> Iterator[bytes]:
    """READY, and then silence."""
    yield from ready(chunks)
    gevent.sleep(60)


def half(chunks: Chunks) -> Iterator[bytes]:
    """READY, half an answer, the end."""
    yield from ready(chunks)
    yield next(chunks)[:40]


def another_number(chunks: Chunks) -> Iterator[bytes]:
    """READY, and an answer to a question that was not asked."""
    yield from ready(chunks)
    yield next(chunks).replace(b" 1\n", b" 2\n")
    gevent.sleep(60)


def a_file_less(chunks: Chunks) -> Iterator[bytes]:
    """READY, and an answer that lacks a file."""
    yield from ready(chunks)
    yield next(chunks).replace(b"\x1d", b" ", 1)
    gevent.sleep(60)


def no_clock(chunks: Chunks) -> Iterator[bytes]:
    """READY, and an answer whose clock is none."""
    yield from ready(chunks)
    token, number, rest = next(chunks).split(b" ", 2)
    yield b" ".join([token, number, b"noon" + rest])
    gevent.sleep(60)


def no_end(chunks: Chunks) -> Iterator[bytes]:
    """READY, and an answer without end."""
    yield from ready(chunks)
    next(chunks)
    while True:
        yield b"y" * 16384


def trickle(chunks: Chunks) -> Iterator[bytes]:
    """READY, and an answer of ten bytes a second."""
    yield from ready(chunks)
    for byte in next(chunks):
        yield bytes([byte])
        gevent.sleep(0.1)


def one_answer(chunks: Chunks) -> Iterator[bytes]:
    """READY, one answer, the end."""
    yield from ready(chunks)
    yield next(chunks)


def answers(alter: Callable[[Chunks], Iterator[bytes]]) -> Befall:
    """Have the real probe run, and send what `alter` makes of its output."""
    return scripted(shell(alter))


Alter = Callable[[Chunks], Iterator[bytes]]

ALTERED: Mapping[str, tuple[Alter, str]] = {
    "no answer": (nothing_more, "timeout"),
    "half an answer, and the end": (half, "closed"),
    "an answer to another question": (another_number, "timeout"),
    "an answer that lacks a file": (a_file_less, "protocol"),
    "an answer whose clock is none": (no_clock, "protocol"),
    "an answer without end": (no_end, "output_too_large"),
    "an answer that trickles": (trickle, "timeout"),
}
"""What is made of the real probe's output, and the reason that the poll fails for."""

FAULTS = {
    **{name: fault(answers(alter), reason) for name, (alter, reason) in ALTERED.items()},
    "the session ends after each answer": fault(answers(one_answer)),
}

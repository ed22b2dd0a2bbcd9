"""How one poll went, as a text for people; what the machine said in it is hostile, and the token in it is secret."""

from collections.abc import Iterable, Iterator

from collector import exposition
from collector.session import Trace
from collector.snapshot import Standing

SHOWN = {
    **{byte: chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in range(256)},
    ord("\\"): "\\\\",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
    ord("\n"): "\\n\n",
    0x1D: "\\x1d\n",
    0x1E: "\\x1e\n",
}
"""Each byte as it is shown: the ends of lines and files (probe.py) begin a line."""


def text(standing: Standing, trace: Trace, polled: bool) -> str:
    """Return all that there is to say of a machine; without `polled` it was left alone, and the trace is empty."""
    parts = {
        "": [headline(standing, polled)],
        "Timings": timings(standing, trace) if polled else [],
        "Agreed on": agreed(standing),
        "Gatherers": gatherers(standing),
        "Said before the probe was ready": said(trace.greeting),
        "Answered": said(trace.answer),
        "Metrics": exposition.of_machine(standing).decode().splitlines(),
    }
    texts = {title: "\n".join(lines) for title, lines in parts.items()}
    whole = "\n\n".join(f"{title}\n\n{text}" if title else text for title, text in texts.items() if text)
    return whole.replace(trace.token, "TOKEN") if trace.token else whole


def headline(standing: Standing, polled: bool) -> str:
    """Say what became of it."""
    snapshot, name = standing.snapshot, standing.machine.name
    if snapshot is None or snapshot.failure is None:
        return f"{name} is up."
    failure = f"{name} is down: {snapshot.failure.reason}: {plain(snapshot.failure.text)}"
    if polled or standing.backoff is None:
        return failure
    return f"{failure}\nIt was not asked now: after that failure it is left alone for {standing.backoff:.3g} s."


def timings(standing: Standing, trace: Trace) -> Iterator[str]:
    """Say what took how long. A poll is not the sum: it is without the wait, and with the start of the probe."""
    snapshot = standing.snapshot
    steps = {
        "waited for a slot": trace.waited,
        "login": trace.login_seconds,
        "question to answer": trace.round_trip,
        "the poll": snapshot.seconds if snapshot else None,
    }
    for step, seconds in steps.items():
        yield f"{step:<20}" + ("-" if seconds is None else f"{seconds:.6f} s")
    if snapshot and snapshot.clock_offset is not None:
        yield f"{'clock':<20}{snapshot.clock_offset:+.6f} s, give or take {snapshot.clock_offset_error:.6f} s"


def agreed(standing: Standing) -> Iterator[str]:
    """Say what the last login agreed on, and what its probe is."""
    if standing.agreement:
        for name, value in standing.agreement._asdict().items():
            yield f"{name:<20}{plain(value)}"
    if standing.ready:
        yield f"{'probe':<20}{plain(standing.ready.mode)}, in {plain(standing.ready.shell)}"
        yield f"{'sha256':<20}{standing.ready.sha256}"


def gatherers(standing: Standing) -> Iterator[str]:
    """Say how each gatherer fared."""
    for gatherer, problem in standing.snapshot.gathered if standing.snapshot else ():
        yield f"{gatherer:<20}{plain(problem) if problem else 'has data'}"


def said(data: bytearray) -> Iterable[str]:
    """Show what a machine said: printable ASCII as it is, all else as C would write it."""
    return "".join([SHOWN[byte] for byte in data]).splitlines()


def plain(text: str) -> str:
    """Render a text of others on one line that a terminal survives."""
    return "".join([letter if letter.isprintable() else "?" for letter in text])

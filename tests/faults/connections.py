"""Rows: what happens below SSH, to connections that are open and to those that are to be."""

from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Befall, Patient, closed, fault, full, strikes


def cut(after: int, reset: bool = False) -> Befall:
    """Cut every connection after so many bytes of what the machine sends."""

    @contextmanager
    def befall(patient: Patient) -> Iterator[None]:
        proxy = patient.proxy
        proxy.down.cut, proxy.cut_by_reset = after, reset
        proxy.hang_up()
        yield
        proxy.down.cut, proxy.cut_by_reset = None, False

    return befall


def down(**quality: float) -> Befall:
    """Give what the machine sends a delay or a rate."""

    @contextmanager
    def befall(patient: Patient) -> Iterator[None]:
        vars(patient.proxy.down).update(quality)
        yield
        vars(patient.proxy.down).update(delay=0.0, rate=None)

    return befall


FAULTS = {
    "the port is closed": fault(closed, "refused"),
    "no answer to an attempt to connect": fault(full, "connect_timeout"),
    "the connection ends between two polls": fault(strikes(lambda proxy: proxy.hang_up())),
    "the connection is reset between two polls": fault(strikes(lambda proxy: proxy.reset())),
    "nothing gets through any more, and nobody is told": fault(
        strikes(lambda proxy: proxy.blackhole(), lambda proxy: proxy.restore()), "timeout", "banner"
    ),
    "what the machine sends does not come": fault(
        strikes(lambda proxy: proxy.down.hold(), lambda proxy: proxy.down.flow()), "timeout", "banner"
    ),
    "the machine reads nothing": fault(
        strikes(lambda proxy: proxy.up.hold(), lambda proxy: proxy.up.flow()), "timeout", "kex"
    ),
    "a byte a second": fault(down(rate=1), "timeout", "banner"),
    "50 ms later than usual": fault(down(delay=0.05)),
    "cut in the banner": fault(cut(10), "banner"),
    "reset in the banner": fault(cut(10, reset=True), "banner"),
    "cut in the key exchange": fault(cut(500), "kex"),
    "reset in the key exchange": fault(cut(500, reset=True), "kex"),
}

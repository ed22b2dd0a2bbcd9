"""Rows: what happens below SSH, to connections that are open and to those that are to be."""

from collections.abc import Iterator
from contextlib import contextmanager

from rig.strike import Kind, Strike

from faults.fault import Befall, Patient, closed, fault, full, strikes


def struck(kind: Kind, **place: int) -> Befall:
    """Strike every connection somewhere in what the machine sends."""

    @contextmanager
    def befall(patient: Patient) -> Iterator[None]:
        patient.proxy.down.strike = Strike(kind, **place)
        patient.proxy.hang_up()
        yield
        patient.proxy.down.strike = None

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
    "cut in the banner": fault(struck("cut", byte=10), "banner"),
    "reset in the banner": fault(struck("reset", byte=10), "banner"),
    "cut in the key exchange": fault(struck("cut", byte=500), "kex"),
    "reset in the key exchange": fault(struck("reset", byte=500), "kex"),
    "corrupted in the key exchange": fault(struck("corrupt", byte=500), "kex"),
    "cut in the login": fault(struck("cut", packet=5), "closed"),
    "reset in the login": fault(struck("reset", packet=5), "closed"),
    "nothing more in the login": fault(struck("hold", packet=5), "auth"),
    "corrupted in the login": fault(struck("corrupt", packet=5, byte=8), "protocol"),
}

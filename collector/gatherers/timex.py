"""What the kernel knows of how its clock is disciplined, from adjtimex(2), which is in no file.

The machine is asked by what it has: perl or python3, which give the whole of struct timex, BusyBox' adjtimex some of
it, and chronyc or timedatectl hardly more than whether the clock is synchronized. How far off it is we measure
ourselves: ssh_clock_offset_seconds.
"""

from collections.abc import Iterable, Iterator

from collector.metric import Counter, Gauge, Sample
from collector.probe import run

OFFSET = Gauge("node_timex_offset_seconds", "What the clock has yet to be moved by.")
FREQUENCY = Gauge("node_timex_frequency_adjustment_ratio", "How fast the clock runs of how fast it would by itself.")
MOST = Gauge("node_timex_maxerror_seconds", "By how much the clock can be off at most.")
ESTIMATED = Gauge("node_timex_estimated_error_seconds", "By how much the clock is probably off.")
STATUS = Gauge("node_timex_status", "The bits STA_* of the kernel's clock.")
CONSTANT = Gauge("node_timex_loop_time_constant", "The time constant of the loop that disciplines the clock.")
TICK = Gauge("node_timex_tick_seconds", "Seconds between two ticks of the clock.")
PPS_FREQUENCY = Gauge("node_timex_pps_frequency_hertz", "Frequency of the pulses of a second.")
PPS_JITTER = Gauge("node_timex_pps_jitter_seconds", "Jitter of the pulses of a second.")
PPS_SHIFT = Gauge("node_timex_pps_shift_seconds", "How long the pulses are looked at, as a power of two.")
PPS_STABILITY = Gauge("node_timex_pps_stability_hertz", "How stable the frequency of the pulses is.")
JITTERS = Counter("node_timex_pps_jitter_total", "Pulses with too much jitter.")
CALIBRATIONS = Counter("node_timex_pps_calibration_total", "Times in which the pulses were looked at.")
ERRORS = Counter("node_timex_pps_error_total", "Times in which that failed.")
UNSTABLE = Counter("node_timex_pps_stability_exceeded_total", "Times in which the frequency was not stable enough.")
TAI = Gauge("node_timex_tai_offset_seconds", "What international atomic time is ahead of UTC.")
SYNCHRONIZED = Gauge("node_timex_sync_status", "Whether the clock is synchronized.")

COMMAND = """\
PATH=$PATH:/usr/sbin:/sbin
has() { command -v $1 >/dev/null; }
has perl && exec perl -MConfig -e '$_=$Config{archname};
$n=/x86_64/?159:/aarch64|riscv|loongarch/?171:/^i.86|^arm|powerpc|ppc|s390/?124:exit;
$t=chr(0)x256;$r=syscall($n,$t);print join q( ),$r,unpack q(Ix![l!]l!4ix![l!]l!8ix![l!]l!5i),$t'
for p in python3 /usr/libexec/platform-python; do has $p && exec $p -ISc 'import ctypes,struct
t=ctypes.create_string_buffer(256)
print(ctypes.CDLL(None).adjtimex(t),*struct.unpack_from("I4li8li5li",t))'; done
has adjtimex && exec adjtimex
has chronyc && exec chronyc -c tracking
exec timedatectl show -p NTPSynchronized"""
"""The numbers of its call are not the same on all machines; perl has them by itself only where its headers are."""

FILES = (run(COMMAND),)
EVERY = 60.0
"""Python takes 20 ms to start."""

STA_NANO = 0x2000
TIME_ERROR = 5
"""What adjtimex(2) returns of a clock that is not synchronized."""
PARTS = 1e6 * 65536
"""Of a frequency in the kernel: millionths, with 16 bits behind the point."""
MOST_OFFSET = 1.0
"""Seconds. The kernel stops at half a second; under KVM it now and then says 2^32 ns."""


def parse(text: str) -> Iterator[Sample]:
    """Read `RESULT FIELD FIELD ...` of struct timex, or what BusyBox, chronyc or timedatectl say."""
    if ":" in text:
        yield from parse_busybox(text)
    elif "," in text:
        yield from parse_chronyc(text)
    elif "=" in text:
        yield SYNCHRONIZED({"no": 0.0, "yes": 1.0}[text.strip().removeprefix("NTPSynchronized=")])
    else:
        yield from parse_timex(list(map(int, text.split())))


def parse_timex(numbers: list[int]) -> Iterator[Sample]:
    """Read what adjtimex(2) returned, and the fields of struct timex, the second of its `time` included."""
    result, _, offset, freq, most, estimated, status, constant, _, _, _, _, tick, *pps, tai = numbers
    frequency, jitter, shift, stability, *counts = pps
    yield from of_clock((offset, freq, most, estimated, status, constant, tick, result))
    yield PPS_FREQUENCY(frequency / PARTS)
    yield PPS_JITTER(jitter / (1e9 if status & STA_NANO else 1e6))
    yield PPS_SHIFT(shift)
    yield PPS_STABILITY(stability / PARTS)
    for metric, count in zip((JITTERS, CALIBRATIONS, ERRORS, UNSTABLE), counts, strict=True):
        yield metric(count)
    yield TAI(tai)


def of_clock(numbers: Iterable[int]) -> Iterator[Sample]:
    """Yield what all know who ask the kernel."""
    offset, freq, most, estimated, status, constant, tick, result = numbers
    seconds = offset / (1e9 if status & STA_NANO else 1e6)
    if abs(seconds) < MOST_OFFSET:
        yield OFFSET(seconds)
    yield FREQUENCY(1 + freq / PARTS)
    yield MOST(most / 1e6)
    yield ESTIMATED(estimated / 1e6)
    yield STATUS(status)
    yield CONSTANT(constant)
    yield TICK(tick / 1e6)
    yield SYNCHRONIZED(float(result != TIME_ERROR))


def parse_busybox(text: str) -> Iterator[Sample]:
    """Read lines like `-o  offset:       0 us`."""
    said: dict[str, int] = {}
    for line in filter(None, text.split("\n")):
        name, _, value = line.partition(":")
        said[name.split()[-1]] = int(value.split()[0])
    names = ("offset", "freq.adjust", "maxerror", "esterror", "status", "timeconstant", "tick", "value")
    yield from of_clock([said[name] for name in names])


def parse_chronyc(text: str) -> Iterator[Sample]:
    """Read `ID,ADDRESS,STRATUM,TIME,OFFSET,LAST,RMS,FREQUENCY,RESIDUAL,SKEW,DELAY,DISPERSION,INTERVAL,LEAP STATUS`."""
    *clock, delay, dispersion, _, leap = text.strip().split(",")
    if len(clock) != 10:
        raise ValueError("not what chronyc says of its tracking")
    yield MOST(float(delay) / 2 + float(dispersion))
    yield SYNCHRONIZED(float(leap != "Not synchronised"))

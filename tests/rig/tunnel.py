"""The program behind rig.link: makes two network namespaces, joins them by a TUN pair and forwards late or never.

Says which of its descriptors are the namespaces, near and far; then reads lines "delay jitter loss" and answers each
with "ok"; ends with its standard input. What netem would do, which a kernel may be built without.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
TUN_WITHOUT_HEADER = 0x1001
LARGEST = 65535

NEAR = "addr add 198.18.0.1/32 dev line0; link set lo up; link set line0 up; route add default dev line0"
FAR = """addr add 198.19.0.1/32 dev line0; link set lo up; link set line0 up; route add default dev line0;
         route add local 198.19.0.0/16 dev lo"""


class Quality:
    """How good the line is at the moment."""

    def __init__(self) -> None:
        self.delay = self.jitter = self.loss = 0.0

    def read(self, line: str) -> None:
        """Take over the figures of a line."""
        self.delay, self.jitter, self.loss = map(float, line.split())


def new_end(setup: str) -> tuple[int, int]:
    """Enter a new network namespace with a TUN device in it; returns descriptors of the namespace and of the device."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"line0", TUN_WITHOUT_HEADER))
    batch = "\n".join(line.strip() for line in setup.split(";"))
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    return namespace, device


def forward(near: int, far: int, quality: Quality) -> None:
    """Carry packets both ways until the standard input ends."""
    other = {near: far, far: near}
    last = {near: 0.0, far: 0.0}
    waiting: list[tuple[float, int, int, bytes]] = []
    number = count()
    orders = sys.stdin.fileno()
    chance = random.Random(0)
    while True:
        wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for source in select.select([near, far, orders], [], [], wait)[0]:
            if source == orders:
                if not (line := sys.stdin.readline()):
                    return
                quality.read(line)
                print("ok", flush=True)
            elif chance.random() >= quality.loss:
                late = quality.delay + chance.uniform(-quality.jitter, quality.jitter)
                last[source] = max(last[source], time.monotonic() + late)
                heapq.heappush(waiting, (last[source], next(number), other[source], os.read(source, LARGEST)))
            else:
                os.read(source, LARGEST)
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, sink, packet = heapq.heappop(waiting)
            with suppress(BlockingIOError):
                os.write(sink, packet)


def main() -> None:
    """Make the two ends, say where they are, and forward."""
    near, near_device = new_end(NEAR)
    far, far_device = new_end(FAR)
    print(near, far, flush=True)
    forward(near_device, far_device, Quality())


if __name__ == "__main__":
    main()

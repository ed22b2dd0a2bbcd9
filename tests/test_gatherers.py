"""The gatherers, each against what real machines said, against nonsense, and against anything.

A fixture, fixtures/<gatherer>/<system>.txt, is what the machine said, a line `--- metrics ---`, and the exposition
expected, which `pytest --regen` writes. Where a gatherer reads several files, `--- FILE ---` stands before each that
the machine has, and `=== FILE ===` before each that matches a name with a star.
"""

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.said import CUT, machines, paths, said, texts

from collector import gather
from collector.errors import ParseError
from collector.exposition import header, label_text, number
from collector.gather import GATHERERS, MOST_LABEL, MOST_SERIES, Gatherer, Gathering
from collector.gather import parse as parse_all
from collector.gatherers.memory import LATEST, MOST_LATEST, gauge_of
from collector.metric import Metric, Sample, Samples
from collector.snapshot import Gathered

CASES = [path for name in GATHERERS for path in paths(name)]

MALFORMED = {
    "time": ["", "noon", "1.2.3", "17 00", "\x00\x01", "nan", "inf", "1e999"],
    "load": ["", "0.1 0.2", "a b c 1/2 3", "0.1 0.2 nan 1/2 3", "\x00", "0,1 0,2 0,3"],
    "filesystem": [
        "",
        "1 2 3",
        "36 35 98:0 /mnt1 - ext3 /dev/root rw",
        "36 35 98:0 / / rw - ext4 /dev/vda rw",
        "a b c d e f /x",
    ],
    "bonding": ["", "eth0 eth1", "\x1c/sys/class/net\neth0"],
    "clocksource": ["", "tsc", "\x1c/sys/devices\ntsc", "\x1c/sys/devices/system/clocksource/clocksource0/x\n"],
    "cooling_device": [
        "",
        "1",
        "\x1ccur_state\n1",
        "\x1c/sys/class/thermal\n1",
        "\x1c/sys/class/thermal/cooling_device0/cur_state\n",
        "\x1c/sys/class/thermal/cooling_device0/cur_state\nfull",
    ],
    "cpu_state": ["", "all", "\x00", "3-1-2", "3-1", "-1", "1,0", "0-99999", "0,0", "0-8191," * 9],
    "cpufreq": [
        "",
        "1500000",
        "\x1c/sys\n1500000",
        "\x1c/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq\nfast",
        "\x1c/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq\n<unknown>",
        f"\x1c/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq\n{'9' * 400}",
    ],
    "cpufreqinfo": ["", "1500000", "\x1c/sys\n1500000", "\x1c/sys/devices/system/cpu/cpu0/cpufreq/x\nfast"],
    "dmi": [
        "",
        "PowerRack R640",
        "\x1c/sys/class/dmi/id/product_name\n",
        "\x1c/sys/class/dmi/id/chassis_type\n23",
        f"\x1c/sys/class/dmi/id/product_name\n{'x' * 300}",
        "\x7fELF",
    ],
    "edac": [
        "",
        "1",
        "\x1c/sys/mc0/ce_count\nmany",
        "\x1c/sys/mc0/ce_count\n-1",
        "\x1c/sys/mcx/ce_count\n1",
        "\x1c/mc0/ce_count\n1\x1c/x/mc0/ce_count\n2",
    ],
    "hwmon": [
        "",
        "48000",
        "\x1c/sys/class/hwmon\n48000",
        "\x1c/sys/class/hwmon/hwmon0/temp1_input\nhot",
        f"\x1c/sys/class/hwmon/hwmon0/temp1_input\n{'9' * 400}",
        "\x1c/sys/class/hwmon/hwmon0/temp1_input\n1\x1c/sys/class/hwmon/hwmon0/temp01_input\n1",
    ],
    "hwmoninfo": [
        "",
        "48000",
        "\x1c/sys/class/hwmon\n48000",
        "\x1c/sys/class/hwmon/hwmon0/temp1_max\n",
        "\x1c/sys/class/hwmon/hwmon0/name\n1\x1c/sys/class/hwmon/hwmon0/names\n1",
    ],
    "netclass": ["", "up", "\x1cup", "\x1c/sys/class/net", "\x1c/sys/class/net/eth0/operstate\n-1"],
    "netinfo": ["", "up", "\x1c/sys/class/net/eth0/flags\n0x1z", "\x1c/sys/class/net/eth0/flags\n"],
    "numa": [
        "",
        "Node 0 MemTotal: 5 kB",
        "\x1cmeminfo\nNode 0 MemTotal: 5 kB",
        "\x1c/sys/devices/system/node/node0/meminfo\nMemTotal: 5 kB",
        "\x1c/sys/devices/system/node/node0/meminfo\nNode 0 MemTotal: 5 MB",
        f"\x1c/sys/devices/system/node/node0/meminfo\nNode 0 {'M' * 400}: 5 kB",
        "\x1c/sys/devices/system/node/node0/meminfo\n",
    ],
    "nfs": [
        "",
        "\n",
        "net 1 2 3",
        "rpc 1 2 3",
        "net 1 2 3 4\nrpc 1 2",
        "net 1 2 3 4\nrpc 1 2 3 4",
        "net 1 2 3\nrpc 1 2 3",
        "net 1 2 3 4\nrpc 1 2 many",
        "net 1 2 3 4\nrpc 1 2 -3",
        "net 1 2 3 4\nrpc 1 2 nan",
        "net 1 2 3 4\nrpc 1 2 3\nproc3 2 1 1e999",
        "\x7fELF",
    ],
    "nfsd": [
        "",
        "\n",
        "net 1 2 3 4",
        "rpc 1 2 3 4",
        "rpc 1 2 3 4 many",
        "rpc 1 2 3 4 -5",
        "rpc 1 2 3 4 nan",
        "rpc 1 2 3 4 5\nio 1",
        "rpc 1 2 3 4 5\nra 1 2",
        "rpc 1 2 3 4 5\nproc3 2 1 1e999",
        "\x7fELF",
    ],
    "watchdog": [
        "",
        "30",
        "\x1c30\n30",
        "\x1ctimeout\n30",
        "\x1c/sys/class/watchdog/watchdog0/timeout\nlong",
        "\x1c/sys/class/watchdog/watchdog0/timeout\n1.5",
        f"\x1c/sys/class/watchdog/watchdog0/timeout\n{'9' * 400}",
        f"\x1c/sys/class/watchdog/watchdog0/identity\n{'x' * 300}",
    ],
    "nvme": [
        "",
        "live",
        "\x1c/sys/class\nlive",
        "\x1cstate\nlive",
        f"\x1c/sys/class/nvme/nvme0/model\n{'x' * 300}",
    ],
    "power_supply": [
        "",
        "POWER_SUPPLY_ONLINE=1",
        "\x1cuevent\nPOWER_SUPPLY_ONLINE=1",
        "\x1c/sys/class/power_supply/AC/uevent\n\x1c/sys/class/power_supply/AC/event\n",
    ],
    "processes": [
        "",
        "\n",
        "1",
        "1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x1c/proc/1/stat\n",
        "\x1c/proc/1/stat\n1 (systemd) S",
        "\x1c/proc/1/stat\n1 (systemd S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x1c/proc/1/stat\n1 (systemd) 1 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x1c/proc/1/stat\n1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 many 0 5",
        "\x1c/proc/1/stat\n1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x7fELF",
    ],
    "selinux": ["", "selinuxfs", "selinuxfs 1"],
    "thermal_zone": [
        "",
        "48000",
        "\x1c/sys/class/thermal\n48000",
        "\x1c/sys/class/thermal/thermal_zone0/temp\nwarm",
        "\x1c/sys/class/thermal/thermal_zone0/temp\n",
        f"\x1c/sys/class/thermal/thermal_zone0/temp\n{'9' * 400}",
    ],
    "threads": [
        "",
        "\n",
        "1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x1c/proc/1/task/1/stat\n",
        "\x1c/proc/1/task/1/stat\n1 (systemd) S",
        "\x1c/proc/1/task/1/stat\n1 (systemd) SS 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x1c/proc/1/task/1/stat\n1 systemd S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5",
        "\x7fELF",
    ],
    "ipvs": [
        "",
        "\n",
        "Total\nConns\n 1 2 3 4",
        "Total\nConns\n 1 2 3 4 5 6",
        "Total\nConns\n 1 2 3 4 -5",
        "Total\nConns\n 1 2 3 4 G",
        "Total\nConns\n 1 2 3 4 5\n  -> C0000202:0CEA Tunnel 100 248 2",
        "Total\nConns\n 1 2 3 4 5\nTCP C0000264",
        "Total\nConns\n 1 2 3 4 5\nTCP C00002640:0CEA wlc",
        "Total\nConns\n 1 2 3 4 5\nTCP [2001:0db8]:0CEA wlc",
        "Total\nConns\n 1 2 3 4 5\nTCP C0000264:0CEA wlc\n  -> C0000202:0CEA Tunnel 100 248",
        "Total\nConns\n 1 2 3 4 5\nTCP C0000264:0CEA wlc\n  -> C0000202:0CEA Tunnel 100 248 many",
        "Total\nConns\n 1 2 3 4 5\n\n",
        "\x7fELF",
    ],
    "xfs": [
        "",
        "rw 28 0",
        "\x1crw 28 0\nrw 28 0",
        "\x1c/sys/fs/xfs/sda1/stats/stats\n",
        "\x1c/sys/fs/xfs/sda1/stats/stats\nrw many 0",
        "\x1c/sys/fs/xfs/sda1/stats/stats\nrw -28 0",
        "\x1c/sys/fs/xfs/sda1/stats/stats\nrw 1e999 0",
        "\x1c/sys/fs/xfs/sda1/stats/stats\nrw 1 2\nrw 1 2",
        "\x1c/sys/fs/xfs/sda1/stats/stats\nrw 1 2\n\n",
        f"\x1c/sys/fs/xfs/{'x' * 300}/stats/stats\nrw 1 2",
    ],
    "kernel_hung": [
        "",
        "many",
        "1 2",
        "1.5",
        "-1",
        f"{'9' * 400}",
        "\x00",
    ],
    "zfs": [
        "",
        "\n",
        "name type data\nhits 4 5",
        "\x1carcstats",
        "\x1c/proc/spl/kstat/zfs/arcstats\nhits 4 5",
        "\x1c/proc/spl/kstat/zfs/arcstats\n13 1\nname type\nhits 4 5",
        "\x1c/proc/spl/kstat/zfs/arcstats\n13 1\nname type data\nhits 4 5\nhits 4 5",
        "\x1c/proc/spl/kstat/zfs/otherstats\n13 1\nname type data\nhits 4 5",
        "\x7fELF",
    ],
    "infiniband": [
        "",
        "4: ACTIVE",
        "\x1c4: ACTIVE\n4: ACTIVE",
        "\x1c/sys/class\n1",
        "\x1c/sys/class/infiniband/mlx5_0/ports/1\n4: ACTIVE",
        "\x1c/sys/class/infiniband/mlx5_0/ports/1/state\nACTIVE",
        "\x1c/sys/class/infiniband/mlx5_0/ports/1/rate\nfast",
        "\x1c/sys/class/infiniband/mlx5_0/ports/1/counters/port_xmit_wait\n1",
        f"\x1c/sys/class/infiniband/{'x' * 300}/fw_ver\n1",
    ],
    "memory": [
        "",
        "MemTotal:",
        "MemTotal: kB",
        "MemTotal: 5 MB",
        "MemTotal: five kB",
        "MemTotal: 5 kB kB",
        "MemTotal 5 kB",
        "MemTotal: 1.5 kB",
        "MemTotal: 1 kB\nMemTotal: 2 kB",
        "\x7fELF\x02\x01",
        "Mem-Total: 5 kB",
        f"MemTotal: {'9' * 400} kB",
        f"MemTotal: {'9' * 5000} kB",
    ],
    "stat": ["", "ctxt", "ctxt many", "ctxt\t1", "intr ", "ctxt 1\nctxt 2", "btime nan", "cpu0 1 2 3 4", "\x7fELF"],
    "cpu": [
        "",
        "cpu 1 2 3 4 5 6 7 8 9 0",
        "cpu0 1 2 3",
        "cpu0 1 2 3 four",
        "cpux 1 2 3 4",
        "cpu0 1 2 3 4\ncpu0 1 2 3 4",
        "cpu0 1 2 3 inf",
        f"cpu{'1' * 300} 1 2 3 4",
        "\x00",
    ],
    "scrape": ["", "load 1", "load one 0.1", "load 1 0.1 0.2", "load 1 soon", "load 1 nan", "load 1 1\nload 1 1"],
    "process": ["", "1 (sh", "1 (sh) S 1 2 3", f"1 (sh) S {'x ' * 40}", f"1 (sh) S {'-9 ' * 40}", "\x00"],
    "systemd": [
        "",
        "systemd 252",
        "systemd 252 (252)\x1c0",
        "systemd x (252)\nrunning\n\n\n\n\x1c0",
        "\x1c127",
        "systemd 252 (252)\nrunning\n\na.service loaded active running\n" * 2,
        "systemd 252 (252)\nrunning\n\n\n\nId=a.socket\nNAccepted=many\x1c0",
        "systemd 252 (252)\nrunning\n\n\n\nId=a.socket\nNAccepted=-1\x1c0",
    ],
    "timex": [
        "",
        "5 0 0",
        "0 " * 22 + "x",
        "NTPSynchronized=maybe",
        "a,b",
        "1,2,3,4",
        "offset: 0 us",
        "perl: warning",
        f"0 0 {'9' * 400} {'0 ' * 19}",
        "0 " * 18 + "-1 0 0 0",
    ],
    "vmstat": ["", "pgfault", "pgfault ", "pgfault many", "pgfault 1 2", "nr_dirty 5", "pgfault 1\npgfault 2", "\x7f"],
    "pressure": [
        "",
        "some avg10=0.00",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=5",
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=5",
        "some total=-5\nfull total=5",
        f"some avg10=0.00 total={'9' * 400}\nfull avg10=0.00 total=5",
        "Operation not supported",
    ],
    "filefd": ["", "1 2", "1 0 many", "1,0,2", "nan 0 nan", "\x00"],
    "netdev": [
        "",
        "Inter-|\n face |\n",
        "a\nb\neth0: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "a\nb\neth0: 1 2 3",
        "a\nb\n 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "a\nb\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 many",
        "a\nb\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 nan",
        "a\nb\n" + 2 * "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
        f"a\nb\n{'x' * 300}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "\x7fELF\x02\x01",
    ],
    "diskinfo": [
        "",
        "\n",
        "8 0",
        "sda",
        2 * "8 0 sda 1 2 3\n",
        f"8 0 {'x' * 300}",
        "\x7fELF",
    ],
    "diskstats": [
        "",
        "\n",
        "8 0",
        "8 0 sda",
        "8 0 sda 1 2 3 4",
        "8 1 sda1 1 2 3 4",
        "8 0 sda 1 2 3 4 5 6 7 8 9 10 many",
        2 * "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n",
        "8 0 sda 1 2 3 4 5 6 7 8 9 10 inf",
        "\x7fELF",
    ],
    "sockstat": ["", "TCP", "TCP:", "TCP: inuse", "TCP: inuse many", "XDP: inuse 5", "TCP: mem 1e999", "\x00"],
    "netstat": [
        "",
        "Udp: NoPorts",
        "Udp: NoPorts\nUdp:",
        "Udp: NoPorts\nUdp: many",
        "Udp: NoPorts\nTcp: 5",
        "Udp: NoPorts\nUdp: 5 6",
        "Udp: NoPorts NoPorts\nUdp: 5 5",
        "Udp6NoPorts 5",
        "\x00\n\x00",
    ],
    "conntrack": ["", "many", "1 2", "0x12", "nan", "\x00"],
    "entropy": ["", "many", "1 2", "256 bits", "inf", "\x00"],
    "arp": [
        "",
        "\n",
        "192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0",
        "IP address HW type\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 eth0",
        "IP address HW type\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0 ?",
        "IP address HW type\n\n",
        f"IP address HW type\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * {'x' * 300}",
        "\x7fELF",
    ],
    "schedstat": [
        "",
        "version 15",
        "version 15\ntimestamp 1",
        "version 12\ncpu0 1 2 3 4 5 6 7 8 9 10 11 12",
        "cpu0 1 2 3 4 5 6 7 8 9",
        "version 15\ncpu0 1 2 3 4 5 6 7 8",
        "version 15\ncpu0 1 2 3 4 5 6 7 8 many",
        "version 15\ncpu0 1 2 3 4 5 6 7 8 9\ncpu0 1 2 3 4 5 6 7 8 9",
        "version fifteen\ncpu0 1 2 3 4 5 6 7 8 9",
    ],
    "softnet": [
        "",
        "\n",
        "1 2 3",
        "1 2 3 4 5 6 7 8 g",
        "1 2 3 4 5 6 7 8 9\n\n",
        2 * "1 2 3 4 5 6 7 8 9 a b c 0\n",
        f"{'f' * 300} 2 3 4 5 6 7 8 9",
        "\x00",
    ],
    "udp_queues": [
        "",
        "\n",
        "0: 00000000:0044 00000000:0000 07 00000000:00000000",
        "sl local_address rem_address st\n0: 00000000:0044 00000000:0000 07",
        "sl local_address rem_address st\n0: 00000000:0044 00000000:0000 07 00000000",
        "sl local_address rem_address st\n0: 00000000:0044 00000000:0000 07 00000000:0000:0",
        "sl local_address rem_address st\n0: 00000000:0044 00000000:0000 07 00000000:many",
        "\x00",
    ],
    "tcpstat": [
        "",
        "\n",
        "   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000",
        "  sl  local_address rem_address\n   0: 0100007F:0CEA 00000000:0000 0A",
        "  sl  local_address rem_address\n   0: 0100007F:0CEA 00000000:0000 00 00000000:00000000 00:00000000",
        "  sl  local_address rem_address\n   0: 0100007F:0CEA 00000000:0000 0C 00000000:00000000 00:00000000",
        "  sl  local_address rem_address\n   0: 0100007F:0CEA 00000000:0000 listen 00000000:00000000 00:00000000",
        "  sl  local_address rem_address\n   0: 0100007F:0CEA 00000000:0000 0A 00000000 00:00000000",
        "  sl  local_address rem_address\n   0: 0100007F:0CEA 00000000:0000 0A 00000000:0000000G 00:00000000",
        "  sl  local_address rem_address\n\n",
        "\x00",
    ],
    "uname": ["", "x" * 201, "x" * 100_000],
    "os": [
        "",
        "\n",
        "Debian GNU/Linux 12",
        "# ID=debian",
        'NAME="Debian',
        "NAME='Debian",
        f"VERSION_ID={'9' * 400}",
        "ID=fedora\nSUPPORT_END=soon",
        "ID=fedora\nSUPPORT_END=2024-13-01",
        f"NAME={'x' * 300}",
        f"NAME={'x' * 1000}",
        "\x7fELF",
    ],
    "md": [
        "",
        "\n",
        "md0 : active raid1 sdb1[1] sda1[0]\n      523264 blocks [2/2] [UU]",
        "Personalities : [raid1]\nmd0 active raid1",
        "Personalities : [raid1]\nmd0 : idle raid1 sdb1[1] sda1[0]\n      523264 blocks [2/2] [UU]",
        "Personalities : [raid1]\nmd0 : active raid1 sdb1[1] sda1[0]\n      523264 blocks [2/2] [UU]\n" * 2,
        "Personalities : [raid1]\nmd0 : active raid1 sda1[0]\nmd0 : active raid1 sda1[0]",
        f"Personalities : [raid1]\n{'x' * 300} : active raid1 sda1[0]",
        f"Personalities : [raid1]\nmd0 : active raid1 sda1[0]\n      {'9' * 400} blocks",
        "\x7fELF",
    ],
    "interrupts": [
        "",
        "\n",
        "CPU0 CPU1",
        "26: 0 13 IO-APIC 4-edge ttyS0",
        "CPU0\n26: many IO-APIC 4-edge ttyS0",
        "CPU0\n26: nan IO-APIC 4-edge ttyS0",
        "CPU0\nERR: 0",
        "CPU0\n26: 1 IO-APIC\n26: 2 IO-APIC",
        f"CPU0\n26: 1 IO-APIC {'x' * 300}",
        "\x7fELF",
    ],
}


def parse(gatherer: Gatherer, texts: dict[str, str]) -> tuple[Sample, ...]:
    """The samples of an answer, one by one."""
    return tuple(parse_all(gatherer, texts))


def exposition(samples: tuple[Sample, ...]) -> str:
    """The samples as the page would have them, family by family."""
    families: dict[Metric, list[str]] = {}
    for metric, labels, value in samples:
        text = label_text((), metric.labels, labels)
        families.setdefault(metric, []).append(f"{metric.name}{'{' + text + '}' if text else ''} {number(value)}\n")
    return "".join(header(metric, openmetrics=False) + "".join(lines) for metric, lines in families.items())


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_fixture(path: Path, regen: bool) -> None:
    """What a real machine said becomes exactly the metrics that stand below it."""
    text, cut, expected = path.read_text().partition(CUT)

    actual = exposition(parse(GATHERERS[path.parent.name], texts(path.parent.name, text)))

    if regen:
        path.write_text(path.read_text().partition(CUT)[0] + CUT + actual)
        return
    assert cut
    assert expected == actual


def test_every_gatherer_has_a_fixture_and_a_table_of_nonsense() -> None:
    """Discovery is closed: a gatherer without fixture or table, or either without a gatherer, is an error."""
    assert sorted(GATHERERS) == sorted({path.parent.name for path in CASES})
    assert sorted(GATHERERS) == sorted(MALFORMED)
    assert {"load", "memory", "time"} <= GATHERERS.keys()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in MALFORMED.items() for text in texts])
def test_malformed(name: str, text: str) -> None:
    """Nonsense is a ParseError that names the gatherer and shows at most 200 characters of the text."""
    with pytest.raises(ParseError) as caught:
        parse(GATHERERS[name], said(name, text))

    assert str(caught.value).startswith(f"{name}: ")
    assert len(str(caught.value)) < 320


EDITS = st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 8), st.text(max_size=8)), max_size=3)
"""Where to change a text, how many characters to take out there, and what to put in their place."""

LINES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[A-Za-z()_]{1,12}: +[0-9]{1,25}( kB)?", fullmatch=True),
    st.from_regex(r"[0-9.]{1,8} [0-9.]{1,8} [0-9.]{1,8} [0-9/ ]{1,8}", fullmatch=True),
)


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """A text after some changes."""
    for at, cut, new in edits:
        place = at % (len(text) + 1)
        text = text[:place] + new + text[place + cut :]
    return text


def like(text: str) -> st.SearchStrategy[str]:
    """Texts that look somewhat like this one: itself with changes, or some of its lines, changed, among others."""
    own = st.builds(edited, st.sampled_from(text.split("\n")), EDITS)
    lines = st.lists(st.one_of(own, LINES), max_size=20)
    return st.one_of(st.builds(edited, st.just(text), EDITS), lines.map("\n".join))


@pytest.mark.parametrize("name", sorted(GATHERERS))
@settings(deadline=None)
@given(data=st.data())
def test_total(name: str, data: st.DataObject) -> None:
    """Whatever a machine says, a parser gives finite samples, each series once, or a ParseError, and nothing else."""
    machine = data.draw(st.sampled_from(list(machines(name))))
    try:
        samples = parse(GATHERERS[name], {file: data.draw(like(text)) for file, text in machine.items()})
    except ParseError:
        return

    assert all(math.isfinite(sample.value) for sample in samples)
    assert all(len(label) <= MOST_LABEL for sample in samples for label in sample.labels)
    assert len({(sample.metric.name, sample.labels) for sample in samples}) == len(samples) <= MOST_SERIES


@pytest.mark.limit(20)
@pytest.mark.parametrize("name", sorted(GATHERERS))
def test_long_texts_take_no_time(name: str) -> None:
    """Each line of a fixture, and each blank, digit and letter of it, a hundred thousand times over is read at once."""
    for machine in machines(name):
        for file, text in machine.items():
            for line in sorted(set(text.split("\n")))[:20]:
                for part in (line, f"{line}\n", *line[:60]):
                    grown = text.replace(line, part * (100_000 // len(part or " ")), 1)
                    with suppress(ParseError):
                        parse(GATHERERS[name], machine | {file: grown})


@pytest.mark.parametrize("name", sorted(GATHERERS))
def test_labels_are_known(name: str) -> None:
    """The labels that a gatherer says it has are those of its samples: a configuration may not have them as its own."""
    found = [metric for machine in machines(name) for metric, *_ in parse(GATHERERS[name], machine)]

    assert GATHERERS[name].labels == {label for metric in found for label in metric.labels}


FIELDS = st.tuples(
    st.sampled_from(["A", "B", "Swap", "Odd-D", "E(e)", "F2M", "G(a)b"]),
    st.sampled_from(["", " ", "     "]),
    st.integers(0, 10**25),
    st.booleans(),
)


@given(st.lists(st.lists(FIELDS, max_size=6, unique_by=lambda field: field[0]), min_size=1, max_size=4))
def test_memory_is_read_line_by_line(answers: list[list[tuple[str, str, int, bool]]]) -> None:
    """Whatever was read before, each line of meminfo is its own name and number, times 1024 if it is in kB."""
    for fields in answers:
        text = "".join(f"{name}:{blanks}{value}{' kB' * unit}\n" for name, blanks, value, unit in fields)
        known = [(gauge_of(name, unit), float(value) * (1024 if unit else 1)) for name, _, value, unit in fields]
        expected = [(gauge.name, value) for gauge, value in known if gauge]
        if not expected:
            with pytest.raises(ParseError):
                parse(GATHERERS["memory"], said("memory", text))
            continue

        samples = parse(GATHERERS["memory"], said("memory", text))

        assert expected == [(sample.metric.name, sample.value) for sample in samples]


def test_machines_of_one_kind_share_their_shape() -> None:
    """What two machines say of the same kind has one shape, whatever the numbers are; it would cost 5 kB a machine."""
    texts = [
        {"clock": f"{n}", "/proc/loadavg": f"{n} 2 3 4/5 6", "/proc/meminfo": f"A: {n} kB\nB: 2\n"} for n in (1, 20)
    ]

    one, two = (Gathering(("time", "memory", "load")).read(said)[0] for said in texts)

    assert one.shape is two.shape
    assert one.values != two.values


def test_memory_caps_its_series() -> None:
    """A machine that sends more lines than a hundred gets a hundred series, also where the last line has no end."""
    lines = [f"Field{number}: {number} kB\n" for number in range(1000)]

    for text in ("".join(lines), "".join(lines[:101])[:-1], "".join(lines[:101]), "".join(lines[:100])):
        assert len(parse(GATHERERS["memory"], said("memory", text))) == 100


def test_memory_names_parentheses_as_the_agent_does() -> None:
    """Active(anon) becomes node_memory_Active_anon_bytes, and a count has no unit."""
    samples = parse(GATHERERS["memory"], said("memory", "Active(anon):  2 kB\nHugePages_Total:  3\nOdd-Name: 4 kB\n"))

    assert [(sample.metric.name, sample.value) for sample in samples] == [
        ("node_memory_Active_anon_bytes", 2048.0),
        ("node_memory_HugePages_Total", 3.0),
    ]


@pytest.mark.limit(20)
def test_memory_passes_over_names_that_are_too_long() -> None:
    """A name of 2 or 200 kB, which could take minutes to match, costs no time and becomes no series."""
    for size in (1_000, 200_000):
        text = f"{'a' * size}!: 1 kB\n{'b' * size}: 1 kB\nMemFree: 1 kB\n"

        samples = parse(GATHERERS["memory"], said("memory", text))

        assert ["node_memory_MemFree_bytes"] == [sample.metric.name for sample in samples]


def test_memory_keeps_few_ways_to_read() -> None:
    """A machine that sends texts of ever other lengths leaves few plans behind, and the others are read as before."""
    for size in range(300):
        parse(GATHERERS["memory"], said("memory", f"MemFree: {'1' * (1 + size % 20)} kB\n{'x' * (size // 20)}: 1 kB\n"))

    assert len(LATEST) <= MOST_LATEST
    assert [sample.value for sample in parse(GATHERERS["memory"], said("memory", "MemFree: 2 kB\n"))] == [2048.0]


def test_one_failure_takes_nothing_from_the_others() -> None:
    """When one gatherer cannot parse, the others' samples are all there and it is named."""
    texts = {"clock": "1.5", "/proc/loadavg": "1 2 3 4/5 6", "/proc/meminfo": "garbage"}

    samples, gathered = Gathering(("time", "memory", "load")).read(texts)

    assert [sample.metric.name for sample in samples] == [
        "node_time_seconds",
        "node_load1",
        "node_load5",
        "node_load15",
    ]
    assert [(name, problem is None) for name, problem in gathered] == [
        ("time", True),
        ("memory", False),
        ("load", True),
    ]


SAID = {"clock": "1.5", "/proc/loadavg": "1 2 3 4/5 6", "/proc/meminfo": "MemFree: 5 kB\n"}


def problems(read: tuple[Samples, tuple[Gathered, ...]]) -> dict[str, str | None]:
    """What each gatherer's problem is."""
    return dict(read[1])


def test_what_is_there_is_asked_for_again_and_again() -> None:
    """The list of files is one and the same from poll to poll, which saves sending it."""
    gathering = Gathering(("time", "memory", "load"))

    for begins in (True, False, False, True):
        wanted = gathering.wanted(begins)
        gathering.read(SAID)
        assert wanted == ("clock", "/proc/meminfo", "/proc/loadavg")
        assert gathering.wanted(False) is wanted


def test_what_a_machine_does_not_have_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there is asked for when a session begins, and seldom from then on; it is told all the time."""
    gathering = Gathering(("time", "memory", "load"))
    gathering.wanted(True)

    first = gathering.read(SAID | {"/proc/loadavg": ""})
    second = gathering.wanted(False), gathering.read({"clock": "2.5", "/proc/meminfo": "MemFree: 6 kB\n"})

    assert second[0] == ("clock", "/proc/meminfo")
    for found in (first, second[1]):
        assert problems(found) == {"time": None, "memory": None, "load": problems(first)["load"]}
        assert "missing" in str(problems(first)["load"])
    assert [sample.value for sample in second[1][0]] == [2.5, 6 * 1024]
    monkeypatch.setattr(gather, "monotonic", lambda: monotonic() + gather.SELDOM)
    assert "/proc/loadavg" in gathering.wanted(False)
    assert problems(gathering.read(SAID)) == dict.fromkeys(("time", "memory", "load"))
    assert "/proc/loadavg" in gathering.wanted(False)


def test_what_cannot_be_parsed_is_asked_for_again() -> None:
    """Nonsense may be another in the next poll."""
    gathering = Gathering(("memory", "load"))
    gathering.wanted(True)

    gathering.read(SAID | {"/proc/meminfo": "garbage"})

    assert "/proc/meminfo" in gathering.wanted(False)
    assert problems(gathering.read(SAID)) == {"memory": None, "load": None}


def test_what_hardly_ever_changes_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gatherer that is seldom read has the samples of then in each poll, until it is due or a session begins."""
    seldom = {**GATHERERS, "load": replace(GATHERERS["load"], every=60.0)}
    monkeypatch.setattr(gather, "GATHERERS", seldom)
    gather.reader.cache_clear()
    gathering = Gathering(("time", "load"))
    gathering.wanted(True)

    first, _ = gathering.read(SAID)
    assert "/proc/loadavg" not in gathering.wanted(False)
    second, gathered = gathering.read({"clock": "2.5", "/dev/null": ""})

    assert [sample.value for sample in first] == [1.5, 1, 2, 3]
    assert [sample.value for sample in second] == [2.5, 1, 2, 3]
    assert dict(gathered) == {"time": None, "load": None}
    with monkeypatch.context() as later:
        later.setattr(gather, "monotonic", lambda: monotonic() + 60)
        assert gathering.wanted(False) == ("clock", "/proc/loadavg")
        gathering.read(SAID)
        assert "/proc/loadavg" not in gathering.wanted(False)
    assert gathering.wanted(True) == ("clock", "/proc/loadavg")
    gather.reader.cache_clear()


def cpu_times(read: tuple[Samples, object]) -> dict[tuple[str, ...], float]:
    """Seconds of each processor in each mode."""
    return {sample.labels: sample.value for sample in read[0] if sample.metric.name == "node_cpu_seconds_total"}


def test_processors_never_go_back() -> None:
    """Times that go back a little stay as they were; those of a processor that goes back by seconds begin anew."""
    gathering = Gathering(("cpu",))

    def read(one: str, two: str) -> dict[tuple[str, ...], float]:
        return cpu_times(gathering.read({"/proc/stat": f"cpu 0 0 0 0\ncpu0 {one}\ncpu1 {two}\n"}))

    first = read("100 0 100 1000 500", "100 0 100 1000 500")
    assert first["0", "idle"] == 10
    back = read("150 0 100 990 100", "200 0 100 1100 600")
    assert (back["0", "user"], back["0", "idle"], back["0", "iowait"]) == (1.5, 10, 5)
    assert (back["1", "user"], back["1", "idle"], back["1", "iowait"]) == (2, 11, 6)
    on = read("160 0 100 1010 510", "1 0 0 20 5")
    assert (on["0", "idle"], on["0", "iowait"]) == (10.1, 5.1)
    assert (on["1", "user"], on["1", "idle"], on["1", "iowait"]) == (0.01, 0.2, 0.05)

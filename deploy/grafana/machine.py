"""The Grafana dashboard "Machine over SSH", as code: prints the JSON that Grafana reads.

    python deploy/grafana/machine.py > deploy/grafana/dashboards/machine.json

A test holds the committed JSON equal to what this prints. It is about one machine. Time, memory and load is what any
machine gives unless told otherwise; a panel of anything else says what it needs, so that its emptiness is no riddle.
"""

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from parts import (
    BLUE,
    DATA,
    FLEET_PAGE,
    GRAY,
    GREEN,
    MACHINE_PAGE,
    ONE,
    ORANGE,
    PURPLE,
    RED,
    STATES,
    YES,
    Panel,
    Query,
    Setting,
    age,
    band,
    choice,
    column,
    graph,
    lettered,
    limit,
    line,
    listing,
    load_per_core,
    mark,
    memory_left,
    now,
    number,
    page,
    paint,
    painted,
    rate,
    rows,
    share,
    show,
    stacked,
    state,
    steps,
    texts,
    timeline,
    way,
)

NODE = "Needs gather = node"
"""What a panel says that has nothing to show."""
SENSORS = f"{NODE}, and a machine that has this: virtual ones seldom do"
PRESSURE = f"{NODE}, and a kernel with /proc/pressure"

INTERFACES = f'{ONE}, device!~"lo|veth.+"'
"""The network interfaces that lead out of the machine."""
PLACE = "mountpoint, device, fstype, device_error"
"""What tells file systems apart."""

THIRD = 8
"""The width of three panels in a line."""
MODES = {
    "user": BLUE, "system": ORANGE, "iowait": RED, "steal": PURPLE, "nice": GREEN, "softirq": "yellow", "irq": GRAY,
}  # fmt: skip
"""What a processor does when it is not idle, and its colour."""
DASHED = [Setting("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}), paint(GRAY)]
"""The look of a line that others are to be seen beside."""

PROCESSORS = f'count(node_cpu_seconds_total{{{ONE}, mode="idle"}})'


def of_machine(metric: str) -> str:
    """A metric of the machine."""
    return f"{metric}{{{ONE}}}"


def by_device(which: str, **counters: str) -> list[Query]:
    """How fast counters of each device grow: a line is called by its device and by what is counted."""
    return [line(rate(counter, which), f"{{{{device}}}}: {name}") for name, counter in counters.items()]


# What more than one dashboard shows of a machine.


def clock() -> timeseries.Panel:
    """How far its clock is off, as the collector measures it."""
    offset, error = of_machine("ssh_clock_offset_seconds"), of_machine("ssh_clock_offset_error_seconds")
    panel = graph(
        "Clock offset",
        "The machine's clock less the collector's. The true offset lies within the band: half a round trip either way.",
        "s",
        line(offset, "Offset"),
        line(f"{offset} + {error}", "At most"),
        line(f"{offset} - {error}", "At least"),
    )
    return painted(band(panel, "At most", "At least"), {"Offset": BLUE})


def memory() -> timeseries.Panel:
    """What its memory is used for."""
    fields = "MemTotal", "MemAvailable", "MemFree", "SwapTotal", "SwapFree"
    total, available, free, swap, swap_free = (of_machine(f"node_memory_{field}_bytes") for field in fields)
    panel = graph(
        "Memory",
        "Used is what programs cannot get without swapping; cache is what they can.",
        "bytes",
        line(f"{total} - {available}", "Used"),
        line(f"{available} - {free}", "Cache"),
        line(free, "Free"),
        line(f"{swap} - {swap_free}", "Swap used"),
    )
    beside = [Setting("custom.stacking", {"mode": "none"}), Setting("custom.fillOpacity", 0)]
    panel = stacked(panel).override_by_name("Swap used", beside)
    return painted(panel, {"Used": BLUE, "Cache": GREEN, "Free": GRAY, "Swap used": RED})


def loads() -> timeseries.Panel:
    """Its load beside the number of its processors."""
    return graph(
        "Load",
        "Load averages. The dashed line is the number of processors, where gather = node tells it.",
        "short",
        *[line(of_machine(f"node_load{minutes}"), f"{minutes} min") for minutes in (1, 5, 15)],
        line(PROCESSORS, "Processors"),
    ).override_by_name("Processors", DASHED)


def sessions() -> timeseries.Panel:
    """How long it takes to ask it."""
    return graph(
        "Polls and logins",
        "How long the last poll and the last login took.",
        "s",
        line(of_machine("ssh_poll_duration_seconds"), "Poll"),
        line(of_machine("ssh_login_duration_seconds"), "Login"),
    )


def failures() -> timeseries.Panel:
    """Why it could not be asked."""
    failed = line(f"sum by (reason) ({rate('ssh_poll_failures_total', ONE)})", "{{reason}}")
    panel = stacked(graph("Failures by reason", "Failed polls a second.", "suffix:/s", failed))
    return panel.draw_style(common.GraphDrawStyle.BARS).no_value("No failures")


def gatherers() -> statetimeline.Panel:
    """Which of its gatherers have data."""
    return timeline(
        "Gatherers",
        "Which gatherers made something of the machine's answer; blank while it is down.",
        texts(*DATA),
        line(of_machine("ssh_gather_success"), "{{gatherer}}"),
    )


# The rows of the dashboard: how the machine is, then what it is made of, and last how it is asked.


def said(title: str, description: str, expr: str, legend: str) -> stat.Panel:
    """What the labels of series say, in words."""
    panel = number(title, description, expr).targets(lettered(now(expr, legend)))
    return panel.text_mode(common.BigValueTextMode.NAME)


def current() -> list[Panel]:
    """The latest of the machine: in numbers, and what it is."""
    full, late = steps(GREEN, (0.9, RED)), steps(GREEN, (300, RED))
    return [
        number("State", "The last poll of the machine.", state(ONE)).mappings(texts(*STATES)),
        number("Last answer", "Since the last poll that succeeded.", age(ONE), "s").thresholds(late),
        number(
            "Uptime",
            "Since the machine booted, by its own clock.",
            f"{of_machine('node_time_seconds')} - {of_machine('node_boot_time_seconds')}",
            "s",
        ).no_value(NODE),
        number("Load per processor", "Load over one minute by the number of processors.", load_per_core(ONE))
        .thresholds(steps(GREEN, (2, RED)))
        .decimals(2)
        .no_value(NODE),
        number("Memory used", "What programs cannot get without swapping.", f"1 - {memory_left(ONE)}", "percentunit")
        .thresholds(full)
        .decimals(0),
        number("Fullest file system", "How much of it is used.", f"max({filesystem_used()})", "percentunit")
        .thresholds(full)
        .decimals(0)
        .no_value(NODE),
        number(
            "Clock offset", "Positive: ahead of the collector's clock.", of_machine("ssh_clock_offset_seconds"), "s"
        ).decimals(3),
        number(
            "Clock synchronised",
            "Whether the kernel says that something keeps the machine's clock right.",
            of_machine("node_timex_sync_status"),
        )
        .mappings(texts(*YES))
        .no_value(NODE),
        said("System", "The distribution.", of_machine("node_os_info"), "{{pretty_name}}").span(6).no_value(NODE),
        said("Kernel", "The release of Linux.", of_machine("node_uname_info"), "{{release}}").span(6).no_value(NODE),
        said(
            "Gatherers without data",
            "What the machine does not have, or does not let us read: `collector check --connect` says why.",
            f"{of_machine('ssh_gather_success')} == 0",
            "{{gatherer}}",
        )
        .span(12)
        .no_value("None"),
    ]


def processor() -> list[Panel]:
    """What the processors do, and for how many processes."""
    busy, unused = (rate("node_cpu_seconds_total", f"{ONE}, mode{which}") for which in ('!="idle"', '=~"idle|iowait"'))
    idle = f"sum by (cpu) ({unused})"
    modes = graph(
        "Processor",
        "The share of all processors' time that each mode took. iowait is idle, with a disk to wait for.",
        "percentunit",
        line(f"avg by (mode) ({busy})", "{{mode}}"),
    )
    return [
        painted(stacked(modes), MODES).max(1).no_value(NODE),
        graph(
            "Single processors",
            "How busy the busiest of them is, and the others. One alone at the top is a program of one thread.",
            "percentunit",
            line(f"1 - min({idle})", "Busiest"),
            line(f"1 - quantile(0.5, {idle})", "Median"),
            line(f"1 - max({idle})", "Least busy"),
        )
        .axis_soft_max(1)
        .no_value(NODE),
        loads(),
        graph(
            "Processes",
            "Those that run or could run, and those that wait for a disk.",
            "short",
            line(of_machine("node_procs_running"), "Running"),
            line(of_machine("node_procs_blocked"), "Waiting for a disk"),
        ).no_value(NODE),
        graph(
            "Switches and interrupts",
            "How often processors turned to another process or to a device, and how many processes began.",
            "suffix:/s",
            line(rate("node_context_switches_total", ONE), "Context switches"),
            line(rate("node_intr_total", ONE), "Interrupts"),
            line(rate("node_forks_total", ONE), "Processes begun"),
        ).no_value(NODE),
        graph(
            "Open files",
            "Of all processes.",
            "short",
            line(of_machine("node_filefd_allocated"), "Open"),
        ).no_value(NODE),
    ]


def memories() -> list[Panel]:
    """What memory is used for, and what the want of it does."""
    sizes = {
        "Shmem": "Shared",
        "Slab": "Kernel",
        "PageTables": "Page tables",
        "Dirty": "To be written",
        "Writeback": "Being written",
    }
    return [
        memory(),
        graph(
            "What takes memory",
            "Besides programs: shared memory and tmpfs, the kernel's own, and what is yet to be written to disks.",
            "bytes",
            *[line(of_machine(f"node_memory_{field}_bytes"), name) for field, name in sizes.items()],
        ),
        graph(
            "Swapping",
            "Pages a second. A steady stream of both means that memory does not suffice.",
            "suffix:/s",
            line(rate("node_vmstat_pswpin", ONE), "In"),
            line(rate("node_vmstat_pswpout", ONE), "Out"),
        )
        .span(THIRD)
        .no_value(NODE),
        graph(
            "Faults that read a disk",
            "How often a second a program waited for a page of its own.",
            "suffix:/s",
            line(rate("node_vmstat_pgmajfault", ONE), "Major faults"),
        )
        .span(THIRD)
        .no_value(NODE),
        graph(
            "Killed for want of memory",
            "Processes that the kernel killed; its log names them.",
            "short",
            line(f"increase({of_machine('node_vmstat_oom_kill')}[$__rate_interval])", "Killed"),
        )
        .draw_style(common.GraphDrawStyle.BARS)
        .span(THIRD)
        .no_value(f"{NODE}, and Linux 4.13"),
    ]


def disks() -> list[Panel]:
    """What the disks do, and how long it takes."""
    times = [
        line(
            f"{rate(f'node_disk_{kind}_time_seconds_total', ONE)} / {rate(f'node_disk_{kind}s_completed_total', ONE)}",
            f"{{{{device}}}}: {kind}",
        )
        for kind in ("read", "write")
    ]
    panels = [
        graph(
            "Throughput",
            "What each disk read and wrote. A volume shows beside the disks that it lies on.",
            "Bps",
            *by_device(ONE, read="node_disk_read_bytes_total", written="node_disk_written_bytes_total"),
        ),
        graph(
            "Operations",
            "Reads and writes a second.",
            "iops",
            *by_device(ONE, reads="node_disk_reads_completed_total", writes="node_disk_writes_completed_total"),
        ),
        graph("Latency", "How long a read or a write took on average, the wait included.", "s", *times).span(THIRD),
        graph(
            "Busy",
            "The share of the time in which a disk had something to do. Many disks can do several things at once, and "
            "more than this shows.",
            "percentunit",
            line(rate("node_disk_io_time_seconds_total", ONE), "{{device}}"),
        )
        .axis_soft_max(1)
        .span(THIRD),
        graph(
            "Requests under way",
            "How many were on average.",
            "short",
            line(rate("node_disk_io_time_weighted_seconds_total", ONE), "{{device}}"),
        ).span(THIRD),
    ]
    return [panel.no_value(f"{NODE}, and a disk") for panel in panels]


def ways(title: str, description: str, unit: str, what: str) -> timeseries.Panel:
    """What each interface received and sent of something."""
    received, sent = (f"node_network_{way}_{what}_total" for way in ("receive", "transmit"))
    return graph(title, description, unit, *by_device(INTERFACES, received=received, sent=sent))


def network() -> list[Panel]:
    """What the interfaces carry, and what TCP makes of it."""
    resent = f"{rate('node_netstat_Tcp_RetransSegs', ONE)} / {rate('node_netstat_Tcp_OutSegs', ONE)}"
    sockets = {"inuse": "Open", "tw": "Closed, waiting", "orphan": "Of no process"}
    panels = [
        ways("Traffic", "Bytes by interface, without lo and the ends of containers (veth).", "Bps", "bytes"),
        ways("Packets", "Packets by interface.", "pps", "packets"),
        ways("Errors", "Packets that were bad, or could not be sent.", "pps", "errs"),
        ways("Drops", "Packets that nobody wanted, or that there was no room for.", "pps", "drop"),
        graph(
            "Sent again",
            "The share of TCP's segments that were lost on their way.",
            "percentunit",
            line(resent, "Sent again"),
        ).span(THIRD),
        graph(
            "TCP sockets",
            "Those that are open, and those that are no longer.",
            "short",
            *[line(of_machine(f"node_sockstat_TCP_{field}"), name) for field, name in sockets.items()],
        ).span(THIRD),
    ]
    tracked = graph(
        "Tracked connections",
        "Connections that the packet filter knows, and how many it can. When it is full, new ones are refused.",
        "short",
        line(of_machine("node_nf_conntrack_entries"), "Tracked"),
        line(of_machine("node_nf_conntrack_entries_limit"), "At most"),
    ).override_by_name("At most", DASHED)
    filtered = f"{NODE}, and a packet filter that tracks connections"
    return [*[panel.no_value(NODE) for panel in panels], tracked.span(THIRD).no_value(filtered)]


def filesystem_used() -> str:
    """The share of each file system that is used."""
    return f"1 - {of_machine('node_filesystem_avail_bytes')} / {of_machine('node_filesystem_size_bytes')}"


def inodes_used() -> str:
    """The share of each file system's inodes that is used; there is none of one that has no such number."""
    return f"1 - {of_machine('node_filesystem_files_free')} / ({of_machine('node_filesystem_files')} > 0)"


def mounted() -> table.Panel:
    """The table of file systems."""
    writable = texts(("0", "Yes", "text"), ("1", "Read-only", ORANGE))
    columns = {
        "used": (filesystem_used(), share("Used")),
        "free": (of_machine("node_filesystem_avail_bytes"), column("Free", unit="bytes")),
        "size": (of_machine("node_filesystem_size_bytes"), column("Size", unit="bytes")),
        "inodes": (inodes_used(), share("Inodes used")),
        "readonly": (
            of_machine("node_filesystem_readonly"),
            column("Writable", mappings=writable, custom__cellOptions={"type": "color-text"}),
        ),
    }
    panel = listing(
        "File systems mounted",
        "The fullest come first. One with a problem did not say how full it is: its server does not answer, or it is "
        "closed to the user that we are.",
        *[rows(name, f"max by ({PLACE}) ({expr})") for name, (expr, _) in columns.items()],
        join="merge",
        sort_by="Used",
        desc=True,
        width=24,
    )
    for name, (_, look) in columns.items():
        panel.override_by_name(f"Value #{name}", look)
    names = {"mountpoint": "Mounted at", "device": "Device", "fstype": "Type", "device_error": "Problem"}
    for label, name in names.items():
        panel.override_by_name(label, column(name))
    return panel.no_value(NODE)


def filesystems() -> list[Panel]:
    """How full the file systems are."""
    each = "{{mountpoint}}"
    space = graph("Space used", "Of each file system.", "percentunit", line(filesystem_used(), each))
    inodes = graph("Inodes used", "Of each that counts them.", "percentunit", line(inodes_used(), each))
    return [
        mounted(),
        *[limit(panel, 0.9).max(1).no_value(NODE) for panel in (space, inodes)],
    ]


def pressure() -> list[Panel]:
    """How long there was something to wait for."""
    waits = {"cpu": "Pressure on processors", "io": "Pressure on disks", "memory": "Pressure on memory"}
    panels: list[Panel] = []
    for what, title in waits.items():
        queries = [line(rate(f"node_pressure_{what}_waiting_seconds_total", ONE), "Some waited")]
        if what != "cpu":
            queries.append(line(rate(f"node_pressure_{what}_stalled_seconds_total", ONE), "All waited"))
        description = "The share of the time in which some processes had to wait for it, and in which all had to."
        panel = graph(title, description, "percentunit", *queries).axis_soft_max(0.1).max(1)
        panels.append(panel.span(THIRD).no_value(PRESSURE))
    return panels


def temperatures() -> timeseries.Panel:
    """What the sensors say; one that has a name is called by it."""
    degrees, named = of_machine("node_hwmon_temp_celsius"), of_machine("node_hwmon_sensor_label")
    same = "(instance, job, chip, sensor)"
    return graph(
        "Temperatures",
        "Of all sensors.",
        "celsius",
        line(f"{degrees} * on {same} group_left (label) {named}", "{{label}} ({{chip}})"),
        line(f"{degrees} unless on {same} {named}", "{{sensor}} ({{chip}})"),
        line(of_machine("node_thermal_zone_temp"), "{{type}} (zone {{zone}})"),
    ).no_value(SENSORS)


def arrays() -> table.Panel:
    """The table of RAID arrays."""
    columns = {
        "required": ("Disks wanted", of_machine("node_md_disks_required")),
        **{
            kind: (f"Disks {kind}", f'node_md_disks{{{ONE}, state="{kind}"}}') for kind in ("active", "failed", "spare")
        },
        "synced": ("In sync", f"{of_machine('node_md_blocks_synced')} / ({of_machine('node_md_blocks')} > 0)"),
    }
    panel = listing(
        "RAID arrays",
        "Software RAID. One is degraded that has fewer disks active than wanted; while it is rebuilt, `In sync` grows.",
        *[rows(name, f"max by (device) ({expr})") for name, (_, expr) in columns.items()],
        join="merge",
        sort_by="Device",
    ).height(9)
    for name, (title, _) in columns.items():
        more = {"unit": "percentunit", "decimals": 1} if name == "synced" else {}
        panel.override_by_name(f"Value #{name}", column(title, **more))
    return panel.override_by_name("device", column("Device")).no_value(f"{NODE}, and an array of Linux' own")


def hardware() -> list[Panel]:
    """What the machine is made of, where it says so."""
    hertz = of_machine("node_cpu_scaling_frequency_hertz")
    kinds = {"correctable": "Corrected", "uncorrectable": "Not corrected"}
    return [
        graph(
            "Frequency of processors",
            "The fastest, all on average, and the slowest.",
            "hertz",
            line(f"max({hertz})", "Highest"),
            line(f"avg({hertz})", "Average"),
            line(f"min({hertz})", "Lowest"),
        ).no_value(SENSORS),
        temperatures(),
        arrays(),
        graph(
            "Memory errors",
            "Since the machine booted, by memory controller. What could not be corrected is wrong data somewhere.",
            "short",
            *[
                line(of_machine(f"node_edac_{kind}_errors_total"), f"{name}, controller {{{{controller}}}}")
                for kind, name in kinds.items()
            ],
        ).no_value(SENSORS),
    ]


def asked() -> list[Panel]:
    """How the machine is asked, and the clock that all of this is told by."""
    return [
        clock(),
        graph(
            "Clock by its own account",
            "How far the machine takes its clock to be off, and how far it may be.",
            "s",
            line(of_machine("node_timex_offset_seconds"), "Offset"),
            line(of_machine("node_timex_maxerror_seconds"), "Greatest error"),
        ).no_value(NODE),
        sessions(),
        failures(),
        gatherers().span(24).height(16),
    ]


ROWS = {
    "Now: $machine": current,
    "Processor": processor,
    "Memory": memories,
    "Disks": disks,
    "Network": network,
    "File systems": filesystems,
    "Pressure": pressure,
    "Hardware": hardware,
    "Clock and polls": asked,
}


def make() -> board.Dashboard:
    """The whole dashboard."""
    return (
        page(
            "Machine over SSH",
            MACHINE_PAGE,
            "All about one machine that the collector reads over SSH.",
            [choice("machine", "Machine", 'label_values(ssh_up{job=~"$job"}, instance)')],
            ROWS,
        )
        # A counter of the kernel's begins anew when the machine does; the moment of a boot moves with the clock.
        .annotation(mark("Booted", BLUE, f"resets(node_context_switches_total{{{ONE}}}[2m]) > 0"))
        .link(way("Fleet", FLEET_PAGE))
    )


if __name__ == "__main__":
    show(make())

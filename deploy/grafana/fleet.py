"""The Grafana dashboard "Fleet over SSH", as code: prints the JSON that Grafana reads.

    python deploy/grafana/fleet.py > deploy/grafana/dashboards/fleet.json

A test holds the committed JSON equal to what this prints. Every panel serves ten machines as well as ten thousand:
it sums up, or shows the worst few, or is a table in pages. What the labels of a section are called is not known here:
the table of machines shows whatever there is, and the filter at the top takes any of them.
"""

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from machine import clock, failures, gatherers, loads, memory, sessions
from parts import (
    BLUE,
    DAEMON,
    DATASOURCE,
    FLEET,
    FLEET_PAGE,
    GREEN,
    MACHINE_PAGE,
    ONE,
    ORANGE,
    PURPLE,
    RED,
    STATES,
    UNLABELLED,
    WORST,
    YES,
    Panel,
    Setting,
    age,
    band,
    choice,
    clock_excess,
    column,
    count,
    graph,
    greatest,
    limit,
    line,
    links,
    listing,
    load,
    load_per_core,
    mark,
    memory_left,
    number,
    of_collector,
    page,
    paint,
    painted,
    per_instance,
    rate,
    rows,
    several,
    share,
    show,
    spread,
    stacked,
    state,
    steps,
    texts,
    timeline,
    way,
    worst,
    worst_state,
)

MACHINE = column("Machine", links=links("__value.raw"))
"""The column of a table that names the machines."""


def machines() -> table.Panel:
    """The table of all machines; the first query keeps the labels of the sections, which become columns."""
    off = {"mode": "absolute", "steps": [{"value": None, "color": "text"}, {"value": 0.05, "color": RED}]}
    panel = listing(
        "State of every machine",
        "Those that are down come first. Labels of the configuration are columns. Click on a machine for its details.",
        rows("state", state(FLEET)),
        rows("age", per_instance(age(FLEET))),
        rows("offset", per_instance(f"ssh_clock_offset_seconds{{{FLEET}}}")),
        rows("excess", per_instance(clock_excess(FLEET))),
        rows("memory", f"1 - {per_instance(memory_left(FLEET))}"),
        rows("load", per_instance(load(FLEET))),
        rows("poll", per_instance(f"ssh_poll_duration_seconds{{{FLEET}}}")),
        join="joinByField",
        sort_by="State",
        width=16,
    )
    looks = {
        "state": column(
            "State", mappings=texts(*STATES), custom__cellOptions={"type": "color-background", "mode": "basic"}
        ),
        "age": column("Last answer", unit="s", decimals=0),
        "offset": column("Clock offset", unit="s", decimals=3),
        "excess": column(
            "Beyond error", unit="s", decimals=3, thresholds=off, custom__cellOptions={"type": "color-text"}
        ),
        "memory": share("Memory used"),
        "load": column("Load", decimals=2),
        "poll": column("Poll", unit="s", decimals=3),
    }
    for name, look in looks.items():
        panel.override_by_name(f"Value #{name}", look)
    return panel.override_by_name("instance", MACHINE)


def failing() -> table.Panel:
    """The failures of machines that are down."""
    failures = f"ssh_poll_failures_total{{{FLEET}}} and ignoring (reason) ssh_up{{{FLEET}}} == 0"
    recent = f"increase(ssh_poll_failures_total{{{FLEET}}}[15m]) and ignoring (reason) ssh_up{{{FLEET}}} == 0"
    return (
        listing(
            "Why machines are down",
            "The failed polls of every machine that is down now, by reason: in the last quarter of an hour, and since "
            "the collector started.",
            rows("recent", f"sum by (instance, reason) ({recent})"),
            rows("all", f"sum by (instance, reason) ({failures})"),
            join="merge",
            sort_by="Last 15 min",
            desc=True,
            width=8,
        )
        .no_value("No machine is down")
        .override_by_name("instance", MACHINE)
        .override_by_name("reason", column("Reason"))
        .override_by_name("Value #recent", column("Last 15 min", decimals=0))
        .override_by_name("Value #all", column("Since start", decimals=0))
    )


def by_state() -> timeseries.Panel:
    """How many machines were in each state; one query counts them all, so a line is called by its state's number."""
    panel = graph(
        "Machines by state",
        "How many machines were up, down, or down for a refused host key.",
        "short",
        line(f'count_values("state", {state(FLEET)})', "{{state}}"),
    )
    for value, text, colour in STATES:
        panel.override_by_name(value, [Setting("displayName", text), paint(colour)])
    return stacked(panel)


def fleet() -> list[Panel]:
    """How many machines are how, and the state of each."""
    bad, odd, refused = steps(GREEN, (1, RED)), steps(GREEN, (1, ORANGE)), steps(GREEN, (1, PURPLE))
    up, down = f"{state(FLEET)} == 1", f"{state(FLEET)} == 0"
    keys = f"{state(FLEET)} == -1"
    return [
        number("Machines", "Machines in the collector's configuration.", f"count(ssh_up{{{FLEET}}})"),
        number("Up", "Machines that answered their last poll.", count(up)).thresholds(steps(RED, (1, GREEN))),
        number("Down", "Machines whose last poll failed, refused host keys aside.", count(down)).thresholds(bad),
        number(
            "Host key refused",
            "Machines whose host key is not in known_hosts, or is another one there. Nothing is sent to them.",
            count(keys),
        ).thresholds(refused),
        number(
            "Clock off",
            "Clocks that are off by 50 ms more than the error of the measurement.",
            count(f"{clock_excess(FLEET)} > 0.05"),
        ).thresholds(odd),
        number(
            "Memory low",
            "Machines with less than a tenth of their memory available.",
            count(f"{memory_left(FLEET)} < 0.1"),
        ).thresholds(odd),
        number(
            "Gatherers failing",
            "Gatherers that made nothing of what a machine said, over all machines that are up.",
            count(f"ssh_gather_success{{{FLEET}}} == 0"),
        ).thresholds(odd),
        number(
            "Oldest data",
            "The longest time since the last poll of a machine that counts as up.",
            f"max({age(FLEET)} and ssh_up{{{FLEET}}} == 1)",
            "s",
        ).thresholds(steps(GREEN, (300, RED))),
        machines(),
        failing(),
        by_state(),
        timeline(
            "Machines that were down",
            f"When each was down; blank is up. At most {5 * WORST} machines at any moment.",
            texts(*STATES),
            line(f"bottomk({5 * WORST}, {worst_state(FLEET)} < 1)", "{{instance}}"),
        ).no_value("No machine was down"),
    ]


def machine_now() -> list[Panel]:
    """The latest of one machine, in numbers."""
    return [
        number("State", "The last poll of the machine.", state(ONE)).mappings(texts(*STATES)),
        number("Last answer", "Since the last poll that succeeded.", age(ONE), "s").thresholds(
            steps(GREEN, (300, RED))
        ),
        number("Clock offset", "Positive: ahead of the collector's clock.", f"ssh_clock_offset_seconds{{{ONE}}}", "s"),
        number(
            "Clock error",
            "The offset is right to ± this: half the round trip.",
            f"ssh_clock_offset_error_seconds{{{ONE}}}",
            "s",
        ),
        number(
            "Memory used",
            "What is not available to programs without swapping.",
            f"1 - {memory_left(ONE)}",
            "percentunit",
        ).thresholds(steps(GREEN, (0.9, RED))),
        number("Load", "Over one minute.", load(ONE)),
        number(
            "Logins",
            "Since the collector started. One session is kept, so this should hardly grow.",
            f"ssh_logins_total{{{ONE}}}",
        ),
        number(
            "Back-off",
            "The wait after the last failure; endless for a refused host key.",
            f"ssh_backoff_seconds{{{ONE}}}",
            "s",
        ).no_value("None"),
    ]


def machine() -> list[Panel]:
    """One machine in detail; all about it has a page of its own."""
    return [*machine_now(), clock(), memory(), loads(), sessions(), failures(), gatherers()]


def clocks() -> list[Panel]:
    """The clocks of the fleet."""
    offset, error = f"ssh_clock_offset_seconds{{{FLEET}}}", f"ssh_clock_offset_error_seconds{{{FLEET}}}"
    offsets = graph(
        "Clock offsets of the fleet",
        "All clocks lie within the band, errors of measurement included. A median away from zero means that the "
        "collector's own clock is off.",
        "s",
        line(f"max({offset} + {error})", "At most"),
        line(f"quantile(0.5, {offset})", "Median"),
        line(f"min({offset} - {error})", "At least"),
    )
    excess = worst(
        "Clocks off beyond their error",
        "How far each clock is off for certain. Below zero, the error of the measurement explains it all.",
        "s",
        greatest(clock_excess(FLEET)),
    )
    return [painted(band(offsets, "At most", "At least"), {"Median": BLUE}), limit(excess, 0.05)]


def memory_and_load() -> list[Panel]:
    """Memory and load of the fleet."""
    return [
        limit(
            worst(
                "Memory used",
                "The share of memory that programs cannot get.",
                "percentunit",
                f"1 - bottomk({WORST}, {memory_left(FLEET)})",
            ),
            0.9,
        ).max(1),
        graph(
            "Memory used over the fleet",
            "Half of the machines use less than the median, one in ten more than the 90 % line.",
            "percentunit",
            line(f"1 - quantile(0.1, {memory_left(FLEET)})", "90 %"),
            line(f"1 - quantile(0.5, {memory_left(FLEET)})", "Median"),
        ).max(1),
        worst(
            "Load", "Load over one minute. What is much depends on the machine's cores.", "short", greatest(load(FLEET))
        ),
        limit(
            worst(
                "Load per core",
                "Load over one minute by the number of cores, for machines that give node_cpu_seconds_total.",
                "short",
                greatest(load_per_core(FLEET)),
            ),
            2,
        ).no_value("The number of cores is not known: nothing gathers node_cpu_seconds_total"),
    ]


def polls() -> list[Panel]:
    """Polls, failures and logins."""
    done, failed, logins = (rate(f"ssh_{name}_total", FLEET) for name in ("polls", "poll_failures", "logins"))
    return [
        painted(
            stacked(
                graph(
                    "Polls",
                    "Polls a second, over all machines.",
                    "suffix:/s",
                    line(f"sum({done}) - (sum({failed}) or vector(0))", "Succeeded"),
                    line(f"sum({failed})", "Failed"),
                )
            ),
            {"Succeeded": GREEN, "Failed": RED},
        ),
        stacked(
            graph(
                "Failures by reason",
                "Failed polls a second, over all machines.",
                "suffix:/s",
                line(f"sum by (reason) ({failed})", "{{reason}}"),
            )
        )
        .draw_style(common.GraphDrawStyle.BARS)
        .no_value("No failures"),
        graph(
            "Logins",
            "Logins a second, over all machines. Sessions are kept, so a steady stream means that something ends them.",
            "suffix:/s",
            line(f"sum({logins})", "Logins"),
        ),
        worst(
            "Logins by machine",
            "Logins in the time shown: machines whose sessions do not last.",
            "short",
            greatest(f"increase(ssh_logins_total{{{FLEET}}}[$__range])"),
        ),
        *durations(),
    ]


def durations() -> list[Panel]:
    """How long polls and logins take, one by one and all at once."""
    return [
        graph(
            "Duration of polls", "The last poll of each machine.", "s", *spread(f"ssh_poll_duration_seconds{{{FLEET}}}")
        ),
        worst(
            "Slowest machines", "How long the last poll took.", "s", greatest(f"ssh_poll_duration_seconds{{{FLEET}}}")
        ),
        graph(
            "Sweep, and one after another",
            "How long a sweep over all machines of an interval took, and how long its polls would have taken one after "
            "another.",
            "s",
            line(f"collector_sweep_duration_seconds{{{DAEMON}}}", "Sweep, every {{interval}}"),
            line(f"collector_sweep_sequential_seconds{{{DAEMON}}}", "One after another, every {{interval}}"),
        ),
        graph(
            "Duration of logins",
            "The last login of each machine.",
            "s",
            *spread(f"ssh_login_duration_seconds{{{FLEET}}}"),
        ),
    ]


def processor() -> str:
    """The processor time that the collectors take, in seconds a second."""
    return of_collector(rate("process_cpu_seconds_total", DAEMON))


def collector_now() -> list[Panel]:
    """The latest of the collector, in numbers."""
    reload = f"collector_config_last_reload_success_timestamp_seconds{{{DAEMON}}}"
    return [
        number("Collectors", "Collectors that answered Prometheus.", f"count(collector_build_info{{{DAEMON}}})"),
        number("Sessions", "Open SSH sessions.", f"sum(collector_sessions{{{DAEMON}}})"),
        number(
            "Faster than one by one",
            "How many times faster the last sweep was than its polls one after another.",
            f"sum(collector_sweep_sequential_seconds{{{DAEMON}}}) / sum(collector_sweep_duration_seconds{{{DAEMON}}})",
            "suffix: ×",
        ),
        number(
            "Missed polls",
            "Polls missed in the time shown.",
            f"sum(increase(collector_polls_missed_total{{{DAEMON}}}[$__range]))",
        ).thresholds(steps(GREEN, (1, ORANGE))),
        number(
            "Processor per poll",
            "Processor time of the collector, everything included, by polls.",
            f"sum({processor()}) / sum({rate('ssh_polls_total', DAEMON)})",
            "s",
        ),
        number(
            "Clock jumps",
            "Steps of the collector's own clock in the time shown.",
            f"sum(increase(collector_clock_jumps_total{{{DAEMON}}}[$__range]))",
        ).thresholds(steps(GREEN, (1, ORANGE))),
        number(
            "Configuration good",
            "Whether the last reload was taken.",
            f"min(collector_config_last_reload_successful{{{DAEMON}}})",
        ).mappings(texts(*YES)),
        number("Configuration age", "Since a configuration was last taken.", f"time() - max({reload})", "s"),
    ]


def collector() -> list[Panel]:
    """The collector itself."""
    lag = rate("collector_hub_lag_seconds_bucket", DAEMON)
    return [
        *collector_now(),
        graph(
            "Sessions and machines",
            "Open sessions, machines that are up, and all machines.",
            "short",
            line(f"sum(collector_machines{{{DAEMON}}})", "Machines"),
            line(f"sum(collector_machines_up{{{DAEMON}}})", "Up"),
            line(f"sum(collector_sessions{{{DAEMON}}})", "Sessions"),
        ),
        limit(
            graph(
                "Lag of the hub",
                "How late timers fire: the time for which the collector was busy with something else.",
                "s",
                line(f"histogram_quantile(0.99, {lag})", "{{instance}}: 99 %"),
                line(f"histogram_quantile(0.5, {lag})", "{{instance}}: median"),
            ),
            0.5,
        ),
        graph("Processor", "Of one core.", "percentunit", line(processor(), "{{instance}}")),
        graph(
            "Memory",
            "Resident memory of the process.",
            "bytes",
            line(of_collector(f"process_resident_memory_bytes{{{DAEMON}}}"), "{{instance}}"),
        ),
        graph(
            "Missed polls",
            "Polls a second that were due while the one before was still under way.",
            "suffix:/s",
            line(rate("collector_polls_missed_total", DAEMON), "{{instance}}"),
        ),
        graph(
            "Open files",
            "Descriptors of the process, a connection each, and how many it may have.",
            "short",
            line(of_collector(f"process_open_fds{{{DAEMON}}}"), "{{instance}}: open"),
            line(of_collector(f"process_max_fds{{{DAEMON}}}"), "{{instance}}: allowed"),
        ),
    ]


# The dashboard.


def variables() -> list[Builder[dashboard.VariableModel]]:
    """What can be chosen at the top."""
    return [
        several(choice("instance", "Machines", 'label_values(ssh_up{job=~"$job"}, instance)')),
        choice("machine", "In detail", f"label_values(ssh_up{{{FLEET}}}, instance)"),
        board.AdHocVariable("filter").label("Labels").datasource(DATASOURCE).description(UNLABELLED),
    ]


ROWS = {
    "Fleet": fleet,
    "One machine: $machine": machine,
    "Clocks": clocks,
    "Memory and load": memory_and_load,
    "Polls": polls,
    "Collector": collector,
}


def make() -> board.Dashboard:
    """The whole dashboard."""
    taken = f"collector_config_last_reload_success_timestamp_seconds{{{DAEMON}}}"
    return (
        page(
            "Fleet over SSH",
            FLEET_PAGE,
            "Machines that the collector reads over SSH: state, clocks, memory, load, polls, and the collector.",
            variables(),
            ROWS,
        )
        .annotation(mark("Configuration taken", BLUE, f"changes({taken}[2m]) > 0"))
        .link(way("All about $machine", MACHINE_PAGE))
    )


if __name__ == "__main__":
    show(make())

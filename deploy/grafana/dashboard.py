"""The Grafana dashboard "Fleet over SSH", as code: prints the JSON that Grafana reads.

    python deploy/grafana/dashboard.py > deploy/grafana/dashboards/fleet.json

A test holds the committed JSON equal to what this prints. Every panel serves ten machines as well as ten thousand:
it sums up, or shows the worst few, or is a table in pages. What the labels of a section are called is not known here,
so no query names one: the table of machines shows whatever there is, and the filter at the top takes any of them.
"""

from collections.abc import Mapping
from typing import TypeAlias

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel: TypeAlias = Builder[dashboard.Panel]
Query: TypeAlias = prometheus.Dataquery
Setting: TypeAlias = dashboard.DynamicConfigValue

UID = "ssh-fleet"
DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")

FLEET = 'job=~"$job", instance=~"$instance"'
"""The machines chosen at the top."""
ONE = 'job=~"$job", instance="$machine"'
"""The machine shown in detail."""
DAEMON = 'job=~"$job"'
"""The collector's own series: their instance is the collector's address, not a machine."""

GREEN, ORANGE, RED, PURPLE, BLUE, GRAY = "green", "orange", "red", "purple", "blue", "#808080"
UNLABELLED = (
    "Only machines with these labels. The collector itself has none of them, so its panels are empty meanwhile."
)
POINTS = 120
"""How many points a graph has at most: what goes into each may be as many series as there are machines."""
WORST = 10
"""How many machines a panel draws that shows the worst of the fleet."""


# Expressions that more than one panel shows. `which` is one of the selectors above.


def state(which: str) -> str:
    """1: up, 0: down, -1: down because the host key is refused (the only failure with an endless back-off)."""
    return coded(f"ssh_up{{{which}}}", which)


def worst_state(which: str) -> str:
    """The same, of the worst moment since the point before: what is short is not lost between two points of a graph."""
    return coded(f"min_over_time(ssh_up{{{which}}}[$__rate_interval])", which)


def coded(up: str, which: str) -> str:
    """The states of `state`, out of whether machines are up."""
    return f"({up} - (ssh_backoff_seconds{{{which}}} == bool +Inf) or {up})"


def age(which: str) -> str:
    """Seconds since the last poll that succeeded."""
    return f"(time() - ssh_last_success_timestamp_seconds{{{which}}})"


def memory_left(which: str) -> str:
    """The share of memory that is available. `and ssh_up` leaves out machines of the same job that have an agent.

    Panels show what is used, `1 - …`, and take it off last: of one number, not of ten thousand.
    """
    available = f"node_memory_MemAvailable_bytes{{{which}}} / node_memory_MemTotal_bytes{{{which}}}"
    return f"({available} and ssh_up{{{which}}})"


def load(which: str) -> str:
    """The load over one minute of the machines read over SSH."""
    return f"(node_load1{{{which}}} and ssh_up{{{which}}})"


def load_per_core(which: str) -> str:
    """The load by the number of cores, of machines whose number of cores is known."""
    return f'({load(which)} / count without (cpu, mode) (node_cpu_seconds_total{{{which}, mode="idle"}}))'


def clock_excess(which: str) -> str:
    """By how much a clock is off for certain, in seconds; below zero the error of the measurement explains it all."""
    return f"(abs(ssh_clock_offset_seconds{{{which}}}) - ssh_clock_offset_error_seconds{{{which}}})"


def count(condition: str) -> str:
    """How many series meet the condition: 0, not nothing, when none does."""
    return f"count({condition}) or vector(0)"


def rate(counter: str, which: str) -> str:
    """How fast a counter grows, a second."""
    return f"rate({counter}{{{which}}}[$__rate_interval])"


def greatest(expr: str) -> str:
    """The machines with the greatest values at each moment."""
    return f"topk({WORST}, {expr})"


def per_instance(expr: str) -> str:
    """The expression without any label but the machine's name: what a row of a table is joined by."""
    return f"max by (instance) ({expr})"


def of_collector(expr: str) -> str:
    """Only the collectors' series, where other programs of the job have the metric too."""
    return f"{expr} and on (job, instance) collector_build_info{{{DAEMON}}}"


# Queries.


def line(expr: str, legend: str) -> Query:
    """A query drawn over time; the legend names its lines, with {{label}} where there are several."""
    return Query().expr(expr).range().legend_format(legend).datasource(DATASOURCE)


def now(expr: str, legend: str = "") -> Query:
    """A query of the latest values."""
    return Query().expr(expr).instant().legend_format(legend).datasource(DATASOURCE)


def spread(expr: str) -> list[Query]:
    """How a value is spread over the machines; the greatest have a panel of their own."""
    return [line(f"quantile(0.9, {expr})", "90 %"), line(f"quantile(0.5, {expr})", "Median")]


def rows(column: str, expr: str) -> Query:
    """A query whose series are the rows of a table, and their values its column `Value #<column>`."""
    return Query().expr(expr).instant().format(PromQueryFormat.TABLE).ref_id(column).datasource(DATASOURCE)


def lettered(*queries: Query) -> list[Builder[Dataquery]]:
    """The queries, named A, B, C… in their order."""
    return [query.ref_id(chr(ord("A") + number)) for number, query in enumerate(queries)]


# Looks.


def steps(base: str, *above: tuple[float, str]) -> board.ThresholdsConfig:
    """Colours by value: `base`, and from each value on another."""
    colours = [dashboard.Threshold(value=None, color=base)]
    colours += [dashboard.Threshold(value=value, color=colour) for value, colour in above]
    return board.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(colours)


def texts(*values: tuple[str, str, str]) -> list[dashboard.ValueMapping]:
    """A text and a colour for each value."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, text, colour) in enumerate(values)
    }
    return [dashboard.ValueMap(options=options)]


STATES = ("1", "Up", GREEN), ("0", "Down", RED), ("-1", "Host key refused", PURPLE)
DATA = ("1", "Data", GREEN), ("0", "No data", RED)
YES = ("1", "Yes", GREEN), ("0", "No", RED)


def paint(colour: str) -> Setting:
    """One colour, whatever the value."""
    return Setting("color", {"mode": "fixed", "fixedColor": colour})


def link(machine: str) -> dict[str, str]:
    """A click leads to this dashboard with that machine in detail."""
    kept = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
    return {"title": "Show in detail", "url": f"/d/{UID}?{kept}&var-machine=${{{machine}:percentencode}}"}


def column(name: str, **settings: object) -> list[Setting]:
    """What a column of a table is called and how it looks: settings by their names in Grafana, `__` for a full stop."""
    return [Setting("displayName", name), *(Setting(key.replace("__", "."), value) for key, value in settings.items())]


# Panels.


def number(title: str, description: str, expr: str, unit: str = "short") -> stat.Panel:
    """The latest value, in an eighth of the width."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(lettered(now(expr)))
        .unit(unit)
        .thresholds(steps("text"))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(build.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(3)
        .height(4)
    )


def graph(title: str, description: str, unit: str, *queries: Query) -> timeseries.Panel:
    """Lines over time, zero in view, and below them a table of their last and greatest values."""
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(lettered(*queries))
        .unit(unit)
        .color_scheme(board.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
        .max_data_points(POINTS)
        .axis_soft_min(0)
        .line_width(1)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            build.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
            .sort_by("Last *")
            .sort_desc(True)
        )
        .tooltip(build.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .span(12)
        .height(9)
    )


def worst(title: str, description: str, unit: str, expr: str) -> timeseries.Panel:
    """A line for each of the machines that `expr` gives, no more than `WORST` of them, each leading to its details."""
    detail = link("__field.labels.instance")
    return graph(title, f"{description} The {WORST} greatest.", unit, line(expr, "{{instance}}")).data_links(
        [board.DashboardLink(detail["title"]).url(detail["url"])]
    )


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """The lines as areas, one on top of the other."""
    return panel.fill_opacity(40).stacking(build.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))


def limit(panel: timeseries.Panel, value: float) -> timeseries.Panel:
    """A dashed line at the value from which on it is bad."""
    style = build.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
    return panel.thresholds(steps("transparent", (value, RED))).thresholds_style(style)


def painted(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Fixed colours for lines, by their legends."""
    for legend, colour in colours.items():
        panel.override_by_name(legend, [paint(colour)])
    return panel


def band(panel: timeseries.Panel, upper: str, lower: str) -> timeseries.Panel:
    """The space between two lines filled; the lines themselves are not drawn."""
    edge = [Setting("custom.lineWidth", 0), paint(GRAY)]
    fill = [Setting("custom.fillBelowTo", lower), Setting("custom.fillOpacity", 25)]
    return panel.override_by_name(upper, [*edge, *fill]).override_by_name(lower, edge)


def timeline(title: str, description: str, states: list[dashboard.ValueMapping], query: Query) -> statetimeline.Panel:
    """States over time, a bar for each series."""
    legend = build.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).show_legend(True)
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(lettered(query))
        .max_data_points(POINTS)
        .mappings(states)
        .color_scheme(board.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .thresholds(steps(GRAY))
        .show_value(common.VisibilityMode.NEVER)
        .legend(legend.placement(common.LegendPlacement.BOTTOM).calcs([]))
        .span(12)
        .height(9)
    )


def listing(
    title: str, description: str, *queries: Query, join: str, sort_by: str, desc: bool = False, width: int = 12
) -> table.Panel:
    """A table in pages whose columns can be sorted and filtered.

    `join` makes one table of those of the queries: `joinByField` by the machine's name, `merge` by all their labels.
    """
    options = {"byField": "instance", "mode": "outer"} if join == "joinByField" else {}
    hidden = {"exclude": {"pattern": "^(Time.*|__name__|job)$"}}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(list(queries))
        .with_transformation(dashboard.DataTransformerConfig(id_val=join, options=options))
        .with_transformation(dashboard.DataTransformerConfig(id_val="filterFieldsByName", options=hidden))
        .sort_by([build.TableSortByFieldState().display_name(sort_by).desc(desc)])
        .footer(build.TableFooterOptions().show(False).reducer([]).enable_pagination(True))
        .cell_height(common.TableCellHeight.SM)
        .override_by_regexp(".*", [Setting("custom.filterable", True)])
        .override_by_name("instance", column("Machine", links=[link("__value.raw")]))
        .span(width)
        .height(12)
    )


# The rows of the dashboard: the fleet, one machine, what is measured, and last the collector itself.


def machines() -> table.Panel:
    """The table of all machines; the first query keeps the labels of the sections, which become columns."""
    bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    used = {"mode": "absolute", "steps": [{"value": None, "color": GREEN}, {"value": 0.9, "color": RED}]}
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
        "memory": column(
            "Memory used", unit="percentunit", min=0, max=1, thresholds=used, custom__cellOptions=bar, decimals=0
        ),
        "load": column("Load", decimals=2),
        "poll": column("Poll", unit="s", decimals=3),
    }
    for name, look in looks.items():
        panel.override_by_name(f"Value #{name}", look)
    return panel


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
    """One machine in detail."""
    offset, error = f"ssh_clock_offset_seconds{{{ONE}}}", f"ssh_clock_offset_error_seconds{{{ONE}}}"
    total, available, free = (f"node_memory_{name}_bytes{{{ONE}}}" for name in ("MemTotal", "MemAvailable", "MemFree"))
    clock = graph(
        "Clock offset",
        "The machine's clock less the collector's. The true offset lies within the band: half a round trip either way.",
        "s",
        line(offset, "Offset"),
        line(f"{offset} + {error}", "At most"),
        line(f"{offset} - {error}", "At least"),
    )
    memory = graph(
        "Memory",
        "Used is what programs cannot get without swapping; cache is what they can.",
        "bytes",
        line(f"{total} - {available}", "Used"),
        line(f"{available} - {free}", "Cache"),
        line(free, "Free"),
        line(f"node_memory_SwapTotal_bytes{{{ONE}}} - node_memory_SwapFree_bytes{{{ONE}}}", "Swap used"),
    )
    beside = [Setting("custom.stacking", {"mode": "none"}), Setting("custom.fillOpacity", 0)]
    memory = stacked(memory).override_by_name("Swap used", beside)
    loads = [line(f"node_load{minutes}{{{ONE}}}", f"{minutes} min") for minutes in (1, 5, 15)]
    return [
        *machine_now(),
        painted(band(clock, "At most", "At least"), {"Offset": BLUE}),
        painted(memory, {"Used": BLUE, "Cache": GREEN, "Free": GRAY, "Swap used": RED}),
        graph("Load", "Load averages.", "short", *loads),
        graph(
            "Polls and logins",
            "How long the last poll and the last login took.",
            "s",
            line(f"ssh_poll_duration_seconds{{{ONE}}}", "Poll"),
            line(f"ssh_login_duration_seconds{{{ONE}}}", "Login"),
        ),
        stacked(
            graph(
                "Failures by reason",
                "Failed polls a second.",
                "suffix:/s",
                line(f"sum by (reason) ({rate('ssh_poll_failures_total', ONE)})", "{{reason}}"),
            )
        )
        .draw_style(common.GraphDrawStyle.BARS)
        .no_value("No failures"),
        timeline(
            "Gatherers",
            "Which gatherers made something of the machine's answer; blank while it is down.",
            texts(*DATA),
            line(f"ssh_gather_success{{{ONE}}}", "{{gatherer}}"),
        ),
    ]


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


def choice(name: str, label: str, query: str) -> board.QueryVariable:
    """A variable whose values are those of a label."""
    return (
        board.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )


def several(variable: board.QueryVariable) -> board.QueryVariable:
    """Any number of values, all of them at first. `.+` stands for all, which keeps queries short for large fleets."""
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(".+").current(everything)


def variables() -> list[Builder[dashboard.VariableModel]]:
    """What can be chosen at the top."""
    return [
        board.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        several(choice("job", "Job", "label_values(ssh_up, job)")),
        several(choice("instance", "Machines", 'label_values(ssh_up{job=~"$job"}, instance)')),
        choice("machine", "In detail", f"label_values(ssh_up{{{FLEET}}}, instance)"),
        board.AdHocVariable("filter").label("Labels").datasource(DATASOURCE).description(UNLABELLED),
    ]


def restarts() -> board.AnnotationQuery:
    """Marks on every graph where a collector started or took a new configuration."""
    taken = f"collector_config_last_reload_success_timestamp_seconds{{{DAEMON}}}"
    return (
        board.AnnotationQuery()
        .name("Configuration taken")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(BLUE)
        .expr(f"changes({taken}[2m]) > 0")
    )


ROWS = {
    "Fleet": fleet,
    "One machine: $machine": machine,
    "Clocks": clocks,
    "Memory and load": memory_and_load,
    "Polls": polls,
    "Collector": collector,
}


def numbered(whole: dashboard.Dashboard) -> dashboard.Dashboard:
    """Every panel with an id that stays when another row grows: 100 for the first row, 101 for its first panel."""
    row = panel = 0
    for each in whole.panels or []:
        row, panel = (row + 1, 0) if isinstance(each, dashboard.RowPanel) else (row, panel + 1)
        each.id_val = 100 * row + panel
    return whole


def make() -> dashboard.Dashboard:
    """The whole dashboard."""
    whole = (
        board.Dashboard("Fleet over SSH")
        .uid(UID)
        .description(
            "Machines that the collector reads over SSH: state, clocks, memory, load, polls, and the collector."
        )
        .tags(["collector", "ssh", "node"])
        .editable()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("1m")
        .timezone("browser")
        .variables(variables())
        .annotation(restarts())
        .link(
            board.DashboardLink("Other dashboards of machines")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["node"])
            .as_dropdown(True)
        )
    )
    for title, panels in ROWS.items():
        whole.with_row(board.Row(title))
        for panel in panels():
            whole.with_panel(panel)
    return numbered(whole.build())


if __name__ == "__main__":
    print(JSONEncoder(sort_keys=True, indent=2).encode(make()))

"""What the dashboards are made of: expressions, queries, looks, panels, and how these become a page of Grafana's.

`fleet.py` and `machine.py` print a dashboard each. What the labels of a section are called is not known here, so no
query names one.
"""

from collections.abc import Callable, Mapping, Sequence
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

FLEET_PAGE, MACHINE_PAGE = "ssh-fleet", "ssh-machine"
"""The addresses of the dashboards, for links from one to the other."""
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


def links(machine: str) -> list[dict[str, str]]:
    """Where a click on a machine leads: to its own page, or to its row of the fleet's."""
    kept = "${datasource:queryparam}&${job:queryparam}&${__url_time_range}"
    chosen = f"var-machine=${{{machine}:percentencode}}"
    return [
        {"title": "All about the machine", "url": f"/d/{MACHINE_PAGE}?{kept}&{chosen}"},
        {"title": "Show in detail here", "url": f"/d/{FLEET_PAGE}?{kept}&${{instance:queryparam}}&{chosen}"},
    ]


def column(name: str, **settings: object) -> list[Setting]:
    """What a column of a table is called and how it looks: settings by their names in Grafana, `__` for a full stop."""
    return [Setting("displayName", name), *(Setting(key.replace("__", "."), value) for key, value in settings.items())]


def share(name: str) -> list[Setting]:
    """A column that shows which share is used, as a bar that is red from nine tenths on."""
    bar = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    used = {"mode": "absolute", "steps": [{"value": None, "color": GREEN}, {"value": 0.9, "color": RED}]}
    return column(name, unit="percentunit", min=0, max=1, thresholds=used, custom__cellOptions=bar, decimals=0)


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
    return graph(title, f"{description} The {WORST} greatest.", unit, line(expr, "{{instance}}")).data_links(
        [board.DashboardLink(one["title"]).url(one["url"]) for one in links("__field.labels.instance")]
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
        .span(width)
        .height(12)
    )


# Dashboards.


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


def everywhere() -> list[Builder[dashboard.VariableModel]]:
    """What is chosen at the top of each dashboard: whose series these are."""
    return [
        board.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        several(choice("job", "Job", "label_values(ssh_up, job)")),
    ]


def mark(name: str, colour: str, expr: str) -> board.AnnotationQuery:
    """Marks on every graph, at the moments for which the expression has a value."""
    return board.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(colour).expr(expr)


def way(title: str, uid: str) -> board.DashboardLink:
    """A link to another dashboard of ours, with what is chosen here, the time included."""
    link = board.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(f"/d/{uid}")
    return link.icon("dashboard").include_vars(True).keep_time(True)


def numbered(whole: dashboard.Dashboard) -> dashboard.Dashboard:
    """Every panel with an id that stays when another row grows: 100 for the first row, 101 for its first panel."""
    row = panel = 0
    for each in whole.panels or []:
        row, panel = (row + 1, 0) if isinstance(each, dashboard.RowPanel) else (row, panel + 1)
        each.id_val = 100 * row + panel
    return whole


def page(
    title: str,
    uid: str,
    description: str,
    variables: Sequence[Builder[dashboard.VariableModel]],
    rows: Mapping[str, Callable[[], Sequence[Panel]]],
) -> board.Dashboard:
    """A dashboard of these rows, each by its title."""
    whole = (
        board.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["collector", "ssh", "node"])
        .editable()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("1m")
        .timezone("browser")
        .variables([*everywhere(), *variables])
        .link(
            board.DashboardLink("Other dashboards of machines")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["node"])
            .as_dropdown(True)
        )
    )
    for name, panels in rows.items():
        whole.with_row(board.Row(name))
        for panel in panels():
            whole.with_panel(panel)
    return whole


def show(whole: board.Dashboard) -> None:
    """Print a dashboard as Grafana reads it."""
    print(JSONEncoder(sort_keys=True, indent=2).encode(numbered(whole.build())))

"""The status page as HTML, all of it, so that it reads without JavaScript; static/status.js then keeps it fresh.

A row has the same shape here and there: the page's `<template>`s are rows of this module without words, and both fill
the slots, the elements with `data-slot`. What machines are called and say is hostile: all of it is escaped. Roles are
spelled out because a table loses its own when a narrow window makes it a list of cards.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib import metadata
from string import Template
from typing import Any
from urllib.parse import quote

from collector.web.overview import MEANINGS, UP, Chip, Query, View

MARKS = {"up": "●", "down": "✕", "waiting": "○"}
BAR = (
    '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
    '<rect width="{}" height="1"/></svg>'
)
COLUMNS = {
    "state": "State",
    "name": "Machine",
    "clock": "Clock",
    "memory": "Memory",
    "load1": "Load 1 min",
    "load5": "5 min",
    "load15": "15 min",
    "polled": "Polled",
    "took": "Took",
}


def page(template: str, view: View, query: Query, now: float, version: str) -> str:
    """Fill the template of the page. `version` is that of the static files."""
    seen = datetime.fromtimestamp(now, UTC)
    return Template(template).substitute(
        title=escape(view.title),
        headline=escape(view.headline),
        state=view.state,
        refresh=f"{view.refresh:g}",
        iso=seen.isoformat(timespec="seconds"),
        clock=f"{seen:%H:%M:%S}",
        shares=shares(view),
        chips="".join(map(chip, view.chips)),
        search=escape(query.search),
        show=query.show,
        sort=query.sort,
        order="desc" if query.descending else "asc",
        columns="".join(column(name, *view.columns[name]) for name in COLUMNS),
        rows="\n".join(map(row, view.rows)),
        note=escape(view.note),
        meanings="".join(f"<dt>{reason}</dt><dd>{escape(meaning)}</dd>" for reason, meaning in MEANINGS.items()),
        row_up=row({"state": UP}),
        row_down=row({"state": ""}),
        chip=chip(Chip("", "", "", "", False)),
        version=version,
        release=escape(metadata.version("collector")),
    )


def shares(view: View) -> str:
    """Draw how many machines are up, waiting and down, as parts of one bar."""
    bars, left = [], 0.0
    for state, share in view.shares:
        bars.append(f'<rect class="{state}" x="{left * 100:.3f}" width="{share * 100:.3f}" height="1"/>')
        left += share
    return "".join(bars)


def chip(chip: Chip) -> str:
    """Render one choice of what to show."""
    current = ' aria-current="true"' if chip.current else ""
    return (
        f'<li><a href="{escape(chip.href)}" data-show="{chip.show}" title="{escape(chip.meaning)}"{current}>'
        f'<span data-slot="show">{chip.show}</span> <b data-slot="machines">{chip.machines}</b></a></li>'
    )


def column(name: str, href: str, direction: str) -> str:
    """Render the head of a column; its link sorts."""
    return (
        f'<th role="columnheader" scope="col" class="{name}" data-column="{name}" aria-sort="{direction}">'
        f'<a href="{escape(href)}">{COLUMNS[name]}</a></th>'
    )


def row(said: Mapping[str, Any]) -> str:
    """Render a machine; without words, the template of one that is up or of one that is not."""

    def slot(name: str, tag: str = "span") -> str:
        return f'<{tag} data-slot="{name}">{escape(str(said.get(name) or ""))}</{tag}>'

    def cell(name: str, content: str) -> str:
        return f'<td role="cell" class="{name}" data-label="{COLUMNS[name]}">{content}</td>'

    state, name = said["state"], escape(str(said.get("name", "")))
    mark = f'<span class="mark" aria-hidden="true">{MARKS.get(state, "")}</span> {slot("state")}'
    bar = BAR.format(said.get("used") or 0)
    if state == UP:
        middle = [
            cell("clock", f"{slot('offset')} {slot('error', 'small')}"),
            cell("memory", f"{bar} {slot('percent')} {slot('memory', 'small')}"),
            *(cell(name, slot(name)) for name in ("load1", "load5", "load15")),
        ]
    else:
        why = f"{slot('reason', 'b')} {slot('text')} {slot('since', 'small')}"
        middle = [f'<td role="cell" class="why" colspan="5">{why}</td>']
    link = f'<a href="probe?target={quote(str(said.get("name", "")), safe="", errors="replace")}" data-slot="name">'
    who = f"{link}{name}</a> {slot('host', 'small')} {slot('labels', 'small')}"
    cells = [
        cell("state", mark),
        f'<th role="rowheader" scope="row" class="name">{who}</th>',
        *middle,
        cell("polled", slot("polled")),
        cell("took", slot("took")),
    ]
    attributes = f'data-name="{name}" data-state="{state}" data-clock="{said.get("clock", "")}"'
    return f'<tr role="row" {attributes}>{"".join(cells)}</tr>'

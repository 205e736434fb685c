"""The report of a run: one HTML file that needs no other file, no script and no network."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

_EMPHASIS: dict[float, str] = {1: "best", 2: "second"}  # CSS class by rank


@dataclass(frozen=True, eq=False)
class ReportTable:
    """A table of the report.

    Attributes:
        caption: What it shows, one sentence.
        frame: The cells; the index is not shown.
        note: Small print under the table.
        ranks: Column of `frame` to the rank of each row: 1 is set bold, 2 underlined.
    """

    caption: str
    frame: pd.DataFrame
    note: str = ""
    ranks: Mapping[str, Sequence[float]] | None = None


@dataclass(frozen=True, eq=False)
class ReportFigure:
    """A figure of the report, as the bytes of a PNG file, and the sentence under it."""

    caption: str
    png: bytes


@dataclass(frozen=True, eq=False)
class ReportContent:
    """What a report says.

    Attributes:
        title: Heading.
        headline: The result in one sentence.
        settings: What was run: experiment, variant, factor, seed, versions, date, commit, ...;
            folded.
        tables: The main results.
        figures: Pictures of cases; they come before the tables.
        folded: Everything else, each behind its caption.
        warnings: What a reader must know before believing a number.
        footnotes: The protocol: which slices, which mask, how many cases, how many dropped.
    """

    title: str
    headline: str
    settings: Mapping[str, str]
    tables: Sequence[ReportTable]
    figures: Sequence[ReportFigure]
    folded: Sequence[ReportTable | ReportFigure] = ()
    warnings: Sequence[str] = ()
    footnotes: Sequence[str] = ()


def render_report(content: ReportContent) -> str:
    """Render a report as one self-contained HTML page; all text is escaped.

    Raises:
        ValueError: If the ranks of a table do not fit its frame.
    """
    folded = [each for each in content.folded if isinstance(each, ReportTable)]
    for table in [*content.tables, *folded]:
        _check_ranks(table)
    environment = Environment(
        loader=PackageLoader("slicefill.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["figure"] = lambda each: isinstance(each, ReportFigure)
    environment.filters.update(columns=_columns, rows=_rows, data_uri=_data_uri)
    return environment.get_template("report.html").render(report=content)


def _check_ranks(table: ReportTable) -> None:
    for column, ranks in (table.ranks or {}).items():
        if column not in table.frame or len(ranks) != len(table.frame):
            msg = (
                f"report table {table.caption!r}: ranks need a column of the frame and one rank "
                f"per row ({len(table.frame)}), got {len(ranks)} for {column!r}"
            )
            raise ValueError(msg)


def _columns(table: ReportTable) -> list[tuple[str, str]]:
    """Column names with the CSS class that sets numbers flush right."""
    frame = table.frame
    return [(str(name), "number" if _is_numeric(frame[name]) else "") for name in frame.columns]


def _rows(table: ReportTable) -> list[list[tuple[str, str]]]:
    """Cells with their CSS classes: flush right, best, second best."""
    columns = []
    for (_, alignment), name in zip(_columns(table), table.frame.columns, strict=True):
        ranks = (table.ranks or {}).get(name, [math.nan] * len(table.frame))
        columns.append(
            [
                (_cell(value), f"{alignment} {_EMPHASIS.get(rank, '')}".strip())
                for value, rank in zip(table.frame[name], ranks, strict=True)
            ]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: Any) -> str:
    """Write a value as a reader wants it: four digits, n/a for what is missing."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_numeric(column: pd.Series) -> bool:
    """Tell whether all cells are numbers or begin with one, as `27.3 ± 1.2` does."""
    leads = [_cell(value).lstrip("<+-[ ")[:1] for value in column if _cell(value) != "n/a"]
    return bool(leads) and all(lead.isdigit() for lead in leads)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

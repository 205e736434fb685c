"""The table of a comparison, laid out as the paper's: a row per method, best and second marked."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from slicefill.metrics import Metric, list_metrics, list_prediction_metrics
from slicefill.metrics.statistics import average_seeds
from slicefill.params import ComparisonParams, ScoringParams
from slicefill.reporting.report import ReportTable

NOT_RUN = "not run"


_BOTH_EMPTY = {"drop": "left out", "perfect": "Dice and NSD 100%, RAVD and distances 0"}
_SLICES = {
    "acquired": "Acquired slices only.",
    "all": "At full resolution: Dice and RAVD on the removed slices, surfaces on all between the "
    "first acquired slice and the last.",
}
_ONE_EMPTY = {"drop": "left out", "diagonal": "the diagonal of the image"}
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in r"\|*_<"})
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$"}
)


def compared_columns(scores: pd.DataFrame) -> list[str]:
    """Name the means over classes that are tested and drawn; of a signed metric its magnitude."""
    known = [each for each in list_metrics("predictions") if not each.magnitude]
    columns = [(each, each.column("mean")) for each in known]
    return [name for each, name in columns if not each.on_request or name in scores]


def all_regions(label_names: Mapping[int, str]) -> list[str]:
    """Name what the paper's tables report on: every class and their mean; of one class the mean.

    Example:
        >>> all_regions({0: "background", 1: "liver", 2: "tumour"}), all_regions({1: "tumour"})
        (['liver', 'tumour', 'mean'], ['mean'])
    """
    classes = [name for identity, name in label_names.items() if identity]
    return [*classes, "mean"] if len(classes) > 1 else ["mean"]


def preset_table(
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    regions: Sequence[str],
    *,
    scoring: ScoringParams,
    comparison: ComparisonParams,
) -> ReportTable:
    """Lay the methods of the preset out, in its order, those without scores included.

    Args:
        scores: One row per case, method and seed: what `score_segmentation` returns, with the
            columns `case`, `subject`, `method` and, if there are several, `seed`. Methods of other
            presets are left aside.
        summary: What `summarise_scores` makes of them.
        regions: Class names, or `mean`: one column each in every group of columns.
        scoring: How they were scored.
        comparison: Which methods, under which titles.

    Returns:
        Cells are `mean [low, high]`, the interval being that of the mean; `n/a` where no case
        has a value; `not run` where the method has no scores. Failures are cases whose mean
        Dice lies below `failure_dice`. The note has the counts and the policy for empty masks.
        Ranks are those of the means as printed, so that equal cells are marked alike.

    Raises:
        ValueError: If a region was not scored.
    """
    chosen, done = comparison.chosen, set(scores["method"])
    frame = pd.DataFrame({"method": [method.title for method in chosen.values()]})
    ranks = {}
    for metric in list_prediction_metrics(scoring.metrics):
        for region in regions:
            rows = _rows(summary, metric.column(region), chosen)
            name = metric.heading if len(regions) == 1 else f"{metric.heading}, {region}"
            frame[name] = [_cell(metric, *row) for row in rows.to_numpy(dtype=float)]
            printed = rows["mean"].map(lambda mean, unit=metric: float(unit.write(mean)))
            ranks[name] = metric.merit(printed).rank(ascending=False, method="min").tolist()
    frame["failures"] = _failures(scores, scoring.failure_dice, chosen)
    frame.loc[[name not in done for name in chosen], frame.columns[1:]] = NOT_RUN
    caption = comparison.presets[comparison.preset].title
    note = _note(scores, summary, scoring, comparison)
    return ReportTable(caption, frame, note, ranks)


def preset_numbers(summary: pd.DataFrame, params: ComparisonParams) -> pd.DataFrame:
    """Return the summary of the methods of the preset in full precision, with their titles.

    A method without scores has one row, without a metric.
    """
    methods = [{"method": name, "title": method.title} for name, method in params.chosen.items()]
    return pd.DataFrame(methods).merge(summary, how="left", on="method")


def to_markdown(table: ReportTable) -> str:
    """Write a table with its caption and note; best in bold, second underlined."""
    frame = _marked(table, {1: "**{}**", 2: "<u>{}</u>"}, _MARKDOWN)
    cells = frame.to_markdown(index=False, disable_numparse=True)
    caption, note = (text.translate(_MARKDOWN) for text in (table.caption, table.note))
    return f"**{caption}**\n\n{cells}\n\n{note}\n"


def to_latex(table: ReportTable, label: str) -> str:
    r"""Write a table as a float over both columns; best in bold, second underlined.

    It needs the packages booktabs and adjustbox, the latter to shrink what is too wide.

    Args:
        table: Columns named `<group>, <region>` get a heading of two rows, as the paper's.
        label: For `\ref`.
    """
    frame = _marked(table, {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}, _LATEX)
    if any(", " in name for name in frame.columns):
        split = [name.partition(", ") for name in frame.columns]
        frame.columns = pd.MultiIndex.from_tuples([(group, region) for group, _, region in split])
    layout = "l" + "c" * (len(frame.columns) - 1)
    tabular = frame.to_latex(index=False, column_format=layout, multicolumn_format="c")
    caption = f"{table.caption.rstrip('.')}. {table.note}".translate(_LATEX)
    return (
        f"\\begin{{table*}}\n\\caption{{{caption}}}\n\\label{{{label}}}\n\\centering\n"
        f"\\begin{{adjustbox}}{{max width=\\textwidth}}\n{tabular}\\end{{adjustbox}}\n"
        "\\end{table*}\n"
    )


def _rows(summary: pd.DataFrame, metric: str, methods: Mapping[str, object]) -> pd.DataFrame:
    """Mean and interval of one metric, a row per method, nan where there is none."""
    if not summary.empty and metric not in set(summary["metric"]):
        msg = f"preset_table: no metric {metric} in the summary: name a class of label_names"
        raise ValueError(msg)
    rows = summary[summary["metric"] == metric].set_index("method").reindex(list(methods))
    return rows[["mean", "ci_low", "ci_high"]].astype(float)


def _cell(metric: Metric, mean: float, low: float, high: float) -> str:
    if math.isnan(mean):
        return "n/a"
    if math.isnan(low):
        return metric.write(mean)
    return f"{metric.write(mean)} [{metric.write(low)}, {metric.write(high)}]"


def _failures(scores: pd.DataFrame, least: float, methods: Mapping[str, object]) -> list[str]:
    """Cases whose mean Dice lies below the least, of how many, per method."""
    keys = ["case", "subject", "method", *scores.columns.intersection(["seed"])]
    cases = average_seeds(scores[[*keys, "dice_mean"]])
    failed = (cases["dice_mean"] < least).groupby(cases["method"])
    counts = failed.agg(["sum", "size"]).reindex(list(methods), fill_value=0)
    return [f"{some} of {all_}" for some, all_ in zip(counts["sum"], counts["size"], strict=True)]


def _note(
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    scoring: ScoringParams,
    comparison: ComparisonParams,
) -> str:
    scores = scores[scores["method"].isin(list(comparison.chosen))]
    summary = summary[summary["method"].isin(list(comparison.chosen))]
    if scores.empty:
        return "No method of this table was run."
    return (
        f"Mean [{scoring.confidence_level:.0%} interval of the mean: {_noise(summary)}] over "
        f"{_span(scores, 'subject')}, {_span(scores, 'case')}, {_span(scores, 'seed')} per method. "
        f"{_SLICES[scoring.slices]} "
        "A class that neither truth nor prediction has: "
        f"{_BOTH_EMPTY[scoring.both_empty]}. One that only one of them has: Dice and NSD 0, "
        f"distances {_ONE_EMPTY[scoring.one_empty]}, RAVD -100% or, without a true volume, "
        f"left out. {_empties(scores)} {_dropped(summary, scoring)} "
        f"NSD at {scoring.tolerance:g} mm. Failures: cases with a mean Dice below "
        f"{scoring.failure_dice:.0%}. Bold: best; underlined: second."
    )


def _noise(summary: pd.DataFrame) -> str:
    """Say what the intervals contain.

    Example:
        >>> _noise(pd.DataFrame({"noise": ["subjects", "subjects and trainings", "subjects"]}))
        'noise of subjects, or of subjects and trainings'
    """
    return f"noise of {', or of '.join(sorted(set(summary['noise'].dropna()), key=len))}"


def _span(scores: pd.DataFrame, column: str) -> str:
    """Count what is different in a column, per method: `41 subjects` or `39 to 41 subjects`."""
    if column not in scores:
        return f"1 {column}"
    counts = scores.groupby("method")[column].nunique()
    least, most = counts.min(), counts.max()
    number = f"{most}" if least == most else f"{least} to {most}"
    return f"{number} {column}{'' if most == 1 else 's'}"


def _empties(scores: pd.DataFrame) -> str:
    both, prediction, truth = (
        int(scores[f"{which}_empty"].sum()) for which in ("both", "prediction", "truth")
    )
    return (
        f"Empty masks over all methods, classes and seeds: {both} both, {prediction} of the "
        f"prediction alone, {truth} of the truth alone."
    )


def _dropped(summary: pd.DataFrame, scoring: ScoringParams) -> str:
    """Count the values of single classes that could not be measured, by metric."""
    classes = [name for identity, name in scoring.label_names.items() if identity]
    dropped = summary.set_index("metric")["dropped"]
    counts = {
        metric.label: dropped[[metric.column(name) for name in classes]].sum()
        for metric in list_prediction_metrics(scoring.metrics)
    }
    left_out = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f"Values of single classes left out: {left_out or 'none'}."


def _marked(
    table: ReportTable, marks: Mapping[float, str], escapes: Mapping[int, str]
) -> pd.DataFrame:
    """Escape all text and wrap the cells of the ranks in `marks`."""
    unranked = [math.nan] * len(table.frame)
    columns = {}
    for name in table.frame.columns:
        ranks = (table.ranks or {}).get(name, unranked)
        columns[str(name).translate(escapes)] = [
            marks.get(rank, "{}").format(str(value).translate(escapes))
            for value, rank in zip(table.frame[name], ranks, strict=True)
        ]
    return pd.DataFrame(columns)

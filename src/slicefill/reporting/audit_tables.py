"""Table and report of the audit of synthetic labels."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from slicefill import __version__
from slicefill.metrics.label_bias import BIASES
from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable

_KEYS = ["source", "name", "strength", "label"]
_CAPTION = (
    "Mean over subjects and labels. The Dice of a damage says how much of it there is, the bias "
    "how consistent it is: where a method lies on the side of shift or crop, networks pay more."
)
_NOTE = (
    "Removed slices only. Volume bias: (synthetic - true) / true. Error balance: (FP - FN) / "
    "(FP + FN). Signed distance: mm, above 0 outside the truth; by the axis that the surface faces."
)


def summarise_audit(table: pd.DataFrame) -> pd.DataFrame:
    """Average over the cases of a subject, then over subjects; the label `mean` is that of labels.

    Args:
        table: `case`, `subject`, `source`, `name`, `strength`, `label` and `BIASES`.

    Returns:
        `source`, `name`, `strength`, `label`, `n` (subjects with a value) and `BIASES`.
    """
    if table.empty:
        return pd.DataFrame(columns=[*_KEYS, "n", *BIASES])
    means = table.groupby([*_KEYS, "subject"], sort=False, dropna=False)[[*BIASES]].mean()
    means = means.reset_index()
    means["known"] = means["subject"].where(means["dice"].notna())  # where it is nan, all are
    per_label = _mean(means, _KEYS).assign(n=_subjects(means, _KEYS)).reset_index()
    mean = _mean(per_label, _KEYS[:3]).assign(n=_subjects(means, _KEYS[:3])).reset_index()
    both = pd.concat([per_label, mean.assign(label="mean")], ignore_index=True)
    return both[[*_KEYS, "n", *BIASES]]


def _mean(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return table.groupby(keys, sort=False, dropna=False)[[*BIASES]].mean()


def _subjects(means: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Count the subjects with a value of any label."""
    return means.groupby(keys, sort=False, dropna=False)["known"].nunique()


def compose_audit(
    summary: pd.DataFrame,
    figures: Mapping[str, bytes],
    parameters: Mapping[str, Any],
) -> ReportContent:
    """Compose the report of an audit: the mean of labels first, each label folded."""
    methods = summary[summary["source"] == "method"]
    labels = [name for name in summary["label"].unique() if name != "mean"]
    return ReportContent(
        title=f"Slicefill, audit of labels: {parameters['experiment']}",
        headline=_headline(methods[methods["label"] == "mean"]),
        settings={"version": __version__, "seed": str(parameters["label_audit"]["seed"])},
        figures=[ReportFigure(_CAPTION, png) for png in figures.values()],
        tables=[_table(summary, "mean", "All labels.")],
        folded=[_table(summary, name, f"Label {name}.") for name in labels],
        footnotes=[_NOTE],
    )


def _headline(methods: pd.DataFrame) -> str:
    if methods.empty:
        return "No synthetic label lies where a slice was removed: nothing to audit."
    best = methods.sort_values("dice").iloc[-1]
    least = methods.sort_values("volume_bias", key=abs).iloc[0]
    return (
        f"Best Dice: {best['name']} ({best['dice']:.3f}, volume bias {best['volume_bias']:+.1%}); "
        f"least bias: {least['name']} ({least['dice']:.3f}, {least['volume_bias']:+.1%})."
    )


def _table(summary: pd.DataFrame, label: str, caption: str) -> ReportTable:
    own = summary[summary["label"] == label]
    cells = pd.DataFrame(
        {
            "labels": own["name"].str.replace("_", " "),
            "strength": own["strength"].map(lambda value: "" if pd.isna(value) else f"{value:g}"),
            "n": own["n"],
            "Dice": own["dice"].map("{:.3f}".format),
            "volume bias": own["volume_bias"].map("{:+.1%}".format),
            "error balance": own["error_balance"].map("{:+.2f}".format),
            "distance, mm": own["signed_distance"].map("{:+.2f}".format),
            "slices": own["signed_distance_slices"].map("{:+.2f}".format),
            "rows": own["signed_distance_rows"].map("{:+.2f}".format),
            "columns": own["signed_distance_columns"].map("{:+.2f}".format),
        }
    )
    return ReportTable(caption, cells)

"""Tables of a report, from the statistics of the scores."""

import math
from collections.abc import Sequence

import pandas as pd

from slicefill.metrics import REAL, find_metric, metric_label
from slicefill.metrics.intervals import SUBJECTS, SUBJECTS_AND_TRAININGS
from slicefill.metrics.statistics import LEAST_TESTED
from slicefill.reporting.report import ReportTable

_SLICES = 5  # listed of each method


def shown_columns(summary: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return those of some columns of scores that the summary holds.

    Raises:
        ValueError: If one of them is of no metric at all.
    """
    known = set(summary["metric"])
    return [column for column in columns if find_metric(column) and column in known]


def summary_table(summary: pd.DataFrame, metrics: Sequence[str], caption: str) -> ReportTable:
    """Lay means and spreads out: a row per method, a column per metric, best and second marked.

    Args:
        summary: What `metrics.statistics.summarise_scores` returns.
        metrics: The columns, in order.
        caption: Caption of the table.

    Returns:
        Cells are `mean ± sd`; the note tells how many subjects they stand on and how many cases
        had no value.

    Raises:
        ValueError: If a metric is not in the summary, or has no known direction.
    """
    unknown = set(metrics) - set(summary["metric"])
    if unknown:
        msg = f"summary_table: no metric {', '.join(sorted(unknown))} in the summary"
        raise ValueError(msg)
    methods = list(summary.loc[summary["metric"].isin(metrics), "method"].unique())
    cells: dict[str, list[str]] = {"method": [name.replace("_", " ") for name in methods]}
    ranks = {}
    for metric in metrics:
        rows = summary[summary["metric"] == metric].set_index("method").reindex(methods)
        label = metric_label(metric)
        cells[label] = [
            mean_sd(mean, sd) for mean, sd in zip(rows["mean"], rows["sd"], strict=True)
        ]
        ranked = find_metric(metric).merit(rows["mean"].where(rows.index != REAL))
        ranks[label] = ranked.rank(ascending=False, method="min").tolist()
    return ReportTable(caption, pd.DataFrame(cells), _counted(summary, metrics), ranks)


def comparison_table(comparison: pd.DataFrame, caption: str, level: float) -> ReportTable:
    """Lay the paired comparison against the best reference method out.

    Args:
        comparison: What `metrics.statistics.compare_methods` returns.
        caption: Caption of the table.
        level: Confidence level of the intervals.

    Returns:
        A row per metric and method; without intervals and p where no row has subjects enough.
    """
    frame = pd.DataFrame(
        {
            "metric": comparison["metric"].map(metric_label),
            "method": comparison["method"].str.replace("_", " "),
            "against": comparison["reference"].str.replace("_", " "),
            "n": comparison["n"],
            "gain": comparison["difference"].map(signed),
            "interval": [
                f"[{signed(low)}, {signed(high)}]"
                for low, high in zip(comparison["ci_low"], comparison["ci_high"], strict=True)
            ],
            "noise": comparison["noise"],
            "p": comparison["p"].map(p_value),
            "p (Holm)": comparison["p_holm"].map(p_value),
            "cases harmed": comparison["harmed"].map("{:.0%}".format),
        }
    )
    note = (
        "Gain: mean difference to the reference, turned so that positive is better, in the unit "
        "of the metric. Cases harmed: fraction in which the method is worse. "
    )
    if comparison["ci_low"].isna().all():
        untested = frame.drop(columns=["interval", "noise", "p", "p (Holm)"])
        note += f"Tests and intervals are made with {LEAST_TESTED} subjects or more."
        return ReportTable(caption, untested, note)
    note += f"Interval: {level:.0%}. {_noises(comparison)}"
    if comparison["p"].isna().all():
        return ReportTable(caption, frame.drop(columns=["p", "p (Holm)"]), note)
    note += f" From {LEAST_TESTED} subjects on; Holm: corrected over all metrics and methods."
    return ReportTable(caption, frame, note)


def _noises(comparison: pd.DataFrame) -> str:
    """Say what the intervals contain, and how p was found."""
    told = {
        SUBJECTS: "Of the noise of subjects alone (BCa bootstrap): it says nothing about another "
        "training.",
        SUBJECTS_AND_TRAININGS: "Of the noise of subjects and trainings: crossed bootstrap, "
        "Student's t; p by the same, two-sided.",
    }
    noises = [text for noise, text in told.items() if (comparison["noise"] == noise).any()]
    alone = comparison["noise"] == SUBJECTS
    if comparison.loc[alone, "p"].notna().any():
        noises.append("p of subjects: Wilcoxon's signed-rank test, paired, two-sided.")
    elif (alone & comparison["ci_low"].notna()).any():
        noises.append("No p: one training of each method cannot tell methods apart.")
    return " ".join(noises)


def least_confident(slices: pd.DataFrame) -> list[ReportTable]:
    """List the slices to look at first: of calibrated methods, or of all if there are none.

    Args:
        slices: What `metrics.confidence.slice_confidence` returns, with `method` and `case`.

    Returns:
        One table, the least confident slices of each method first; none where there is no
        confidence.
    """
    confident = slices.dropna(subset="confidence") if "confidence" in slices else slices[:0]
    if confident.empty:
        return []
    calibrated = confident["measure"] == "expected_error"
    confident = confident[calibrated] if calibrated.any() else confident
    worst = confident.sort_values("confidence").groupby("method", sort=False).head(_SLICES)
    worst = worst.sort_values(["method", "confidence"], kind="stable")
    frame = worst[["method", "case", "slice", "confidence", "abstained", "error"]].rename(
        columns={"error": "true error", "abstained": "abstained from"}
    )
    frame = frame.dropna(axis="columns", how="all")  # no truth: no true error
    note = (
        "Confidence: mean over the slice; of a calibrated method 1 - the expected absolute error, "
        "a fraction of the window, of others the agreement of both neighbours."
    )
    if "true error" in frame:
        note += (
            " True error: mean absolute error in the body, fraction of the window; n/a where no "
            "slice was removed."
        )
    return [ReportTable("Least confident slices: look at these first.", frame, note)]


def mean_sd(mean: float, sd: float) -> str:
    """Write `mean ± sd` with three digits of the spread.

    Example:
        >>> mean_sd(27.3148, 1.2411), mean_sd(0.85123, 0.0153), mean_sd(3.0, float("nan"))
        ('27.31 ± 1.24', '0.8512 ± 0.0153', '3')
    """
    if math.isnan(mean):
        return "n/a"
    if not sd > 0:
        return f"{mean:.4g}"
    decimals = max(0, 2 - math.floor(math.log10(sd)))
    return f"{mean:.{decimals}f} ± {sd:.{decimals}f}"


def signed(value: float) -> str:
    """Write a difference with its sign and three digits.

    Example:
        >>> signed(0.02), signed(-1.6), signed(123.4), signed(float("nan"))
        ('+0.0200', '-1.60', '+123', 'n/a')
    """
    return "n/a" if math.isnan(value) else f"{value:+#.3g}".rstrip(".")


def p_value(p: float) -> str:
    """Write a p-value.

    Example:
        >>> p_value(0.0312), p_value(0.00002), p_value(float("nan"))
        ('0.031', '< 0.001', 'n/a')
    """
    if math.isnan(p):
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _counted(summary: pd.DataFrame, metrics: Sequence[str]) -> str:
    shown = summary[summary["metric"].isin(metrics)]
    least, most = shown["n"].min(), shown["n"].max()
    subjects = f"{most}" if least == most else f"{least} to {most}"
    return (
        f"Mean ± standard deviation over subjects (n = {subjects}); values that could not be "
        f"measured and are left out: {shown['dropped'].sum()}. {_directions(metrics)} "
        "Bold: best, underlined: second."
    )


def _directions(columns: Sequence[str]) -> str:
    """Say which values are better, metric by metric.

    Example:
        >>> _directions(["psnr_body", "dice_mean", "bias_body"])
        'Higher is better: PSNR, Dice. Best is 0: bias.'
    """
    labels: dict[str, list[str]] = {}
    for column in columns:
        metric = find_metric(column)
        labels.setdefault(metric.direction, []).append(metric.label)
    return " ".join(f"{told}: {', '.join(dict.fromkeys(own))}." for told, own in labels.items())

"""Figures of a comparison: scores, learning curves, cases."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from slicefill.geometry import slices_back, slices_first
from slicefill.metrics.statistics import average_seeds
from slicefill.params import ComparisonParams, ScoringParams
from slicefill.reporting.comparison_tables import compared_columns
from slicefill.reporting.figures import (
    first_channel,
    grid_spec,
    metric_plots,
    overlays,
    paired_plots,
    segmentation_curves,
)
from slicefill.types import Array, Case, Lazy, Prediction


def draw_methods(scores: pd.DataFrame, comparison: ComparisonParams) -> dict[str, Figure]:
    """Box plots per metric, and every case against the reference method."""
    titles = {name: method.title for name, method in comparison.chosen.items()}
    averaged = average_seeds(scores)
    order = [name for name in titles if name in set(averaged["method"])]
    averaged = averaged.set_index("method").loc[order].reset_index()
    averaged["method"] = averaged["method"].map(titles)
    figures = {"scores": metric_plots(averaged, compared_columns())}
    reference = titles[comparison.presets[comparison.preset].reference]
    others = [titles[name] for name in order if titles[name] != reference]
    if others and reference in set(averaged["method"]):
        figures["paired_dice"] = paired_plots(averaged, "dice_mean", reference, others)
    return figures


def draw_learning(history: pd.DataFrame, comparison: ComparisonParams) -> dict[str, Figure]:
    """Training loss and validation Dice of every network whose history has them."""
    chosen = comparison.chosen
    histories = {
        f"{chosen[str(method)].title}/{network}": own
        for (method, network), own in history.groupby(["method", "network"], sort=False)
        if {"train/loss", "validation/dice"} <= set(own["term"])
    }
    return {"learning_curves": segmentation_curves(histories)} if histories else {}


def telling_cases(scores: pd.DataFrame) -> list[str]:
    """Order test cases for drawing: the median, the worst, then the others.

    By the mean Dice over all methods, so that the choice favours no method.
    """
    means = scores.groupby("case")["dice_mean"].mean().sort_values()
    ranked = [str(case) for case in means.index]
    median = ranked.pop(len(ranked) // 2)
    return [median, *ranked]


def draw_case(
    acquired_case: Case,
    scores: pd.DataFrame,
    predictions: Mapping[str, Lazy[Prediction]],
    *,
    scoring: ScoringParams,
    comparison: ComparisonParams,
) -> Figure:
    """Draw one case: truth and what each method found, on the acquired slices.

    Args:
        acquired_case: The case, with its label map.
        scores: Its rows; of several seeds the first is drawn.
        predictions: By name.
        scoring: Label names.
        comparison: The methods' titles.
    """
    found: dict[str, Array] = {}
    axis = 0
    for row in (
        scores.sort_values("seed", kind="stable").drop_duplicates("method").to_dict("records")
    ):
        prediction = predictions[row["prediction"]].make()
        axis = prediction.record["axis"]
        kept = slices_first(prediction.label.stored, axis)[prediction.record["acquired"]]
        title = comparison.chosen[row["method"]].title
        found[f"{title}\n{row['dice_mean']:.3f}"] = slices_back(kept, axis)
    truth = None if acquired_case.label is None else acquired_case.label.stored
    title = f"{scores['case'].iloc[0]}: prediction tinted, truth outlined, Dice"
    spec = grid_spec(title, acquired_case.image, axis, label=acquired_case.label)
    return overlays(first_channel(acquired_case.image), truth, found, scoring.label_names, spec)

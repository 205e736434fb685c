"""What paired plots show: each case once, judged in the direction of the metric."""

import numpy as np
import pandas as pd
import pytest

from slicefill.reporting.figures import paired_plots
from slicefill.reporting.figures.paired import _COLOURS


def scores(metric="dice_mean", **methods):
    """One row per case and method; cases are numbered."""
    rows = [
        (f"case{number}", method, value)
        for method, values in methods.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["case", "method", metric])


def panels(figure):
    return [axis for axis in figure.axes if axis.axison]


def points(axis):
    """Verdict to the points drawn in its colour."""
    verdicts = {colour: verdict for verdict, colour in _COLOURS.items()}
    drawn = [line for line in axis.lines if line.get_marker() == "o"]
    return {
        verdicts[line.get_color()]: sorted(zip(*line.get_data(), strict=True)) for line in drawn
    }


TABLE = scores(linear=[0.5, 0.6, 0.7, 0.8], SI=[0.6, 0.7, 0.7, 0.4], IIA=[0.5, 0.6, 0.7, 0.9])


def test_every_case_lies_at_reference_and_method():
    first, second = panels(paired_plots(TABLE, "dice_mean", "linear", ["SI", "IIA"]))
    assert points(first) == {
        "better": [(0.5, 0.6), (0.6, 0.7)],
        "equal": [(0.7, 0.7)],
        "worse": [(0.8, 0.4)],
    }
    assert points(second)["better"] == [(0.8, 0.9)]


def test_titles_give_shares_and_the_mean_difference():
    """SI: +0.1, +0.1, 0, -0.4: mean -0.05."""
    (axis,) = panels(paired_plots(TABLE, "dice_mean", "linear", ["SI"]))
    assert axis.get_title().splitlines() == [
        "SI",
        "better 50%, worse 25%",
        "mean difference -0.05, n = 4",
    ]


@pytest.mark.parametrize(
    ("metric", "reference", "method", "verdict"),
    [
        ("assd_mean", 2.0, 1.0, "better"),  # less is better
        ("dice_mean", 2.0, 1.0, "worse"),
        ("ravd_mean", -0.3, 0.1, "better"),  # nearer to 0 is better
        ("ravd_mean", 0.1, -0.3, "worse"),
    ],
)
def test_better_follows_the_direction_of_the_metric(metric, reference, method, verdict):
    table = scores(metric, linear=[reference], SI=[method])
    (axis,) = panels(paired_plots(table, metric, "linear", ["SI"]))
    assert list(points(axis)) == [verdict]


def test_panels_share_square_limits_that_hold_every_point():
    axes = panels(paired_plots(TABLE, "dice_mean", "linear", ["SI", "IIA"]))
    ((low, high),) = {limits for axis in axes for limits in (axis.get_xlim(), axis.get_ylim())}
    assert low < 0.4
    assert high > 0.9
    assert {axis.get_box_aspect() for axis in axes} == {1}


def test_unmeasured_cases_are_left_out_and_counted():
    """Nan, infinite, or without a row: of five cases two remain."""
    table = scores(linear=[0.5, np.nan, 0.7, 0.8, 0.9], SI=[0.6, 0.7, np.inf, 0.9])
    (axis,) = panels(paired_plots(table, "dice_mean", "linear", ["SI"]))
    assert axis.get_title().splitlines()[-1] == "undefined, not shown: 3"
    assert points(axis) == {"better": [(0.5, 0.6), (0.8, 0.9)]}


def test_panels_need_no_measured_case():
    table = scores(linear=[0.5, 0.6], SI=[np.nan, np.nan])
    (axis,) = panels(paired_plots(table, "dice_mean", "linear", ["SI"]))
    assert axis.get_title().splitlines() == ["SI", "undefined, not shown: 2"]


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_there_is_one_panel_per_method_in_the_order_given(count):
    names = [f"method_{number}" for number in range(count)]
    table = scores(linear=[0.5, 0.6], **{name: [0.6, 0.5] for name in names})
    axes = panels(paired_plots(table, "dice_mean", "linear", names[::-1]))
    headings = [axis.get_title().splitlines()[0] for axis in axes]
    assert headings == [name.replace("_", " ") for name in names[::-1]]


def test_texts_do_not_overlap():
    """Legend, titles and the two labels of the figure."""
    long = "SI without tp-smooth and with restored slices"
    table = scores(linear=[0.5, 0.6], **{f"{long} {n}": [0.6, np.nan] for n in range(5)})
    figure = paired_plots(table, "dice_mean", "linear", list(table["method"].unique()[1:]))
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in panels(figure)]
    boxes += [axis.get_tightbbox() for axis in figure.legends]
    boxes += [text.get_window_extent() for text in figure.texts]
    for number, box in enumerate(boxes):
        assert box.count_overlaps(boxes[number + 1 :]) == 0
        assert figure.bbox.fully_containsx(box.x0)
        assert figure.bbox.fully_containsy(box.y1)


def test_the_missing_column_is_named():
    with pytest.raises(ValueError, match="no column hd95_mean; got case, method, dice_mean"):
        paired_plots(TABLE, "hd95_mean", "linear", ["SI"])


def test_methods_that_were_not_scored_are_refused():
    with pytest.raises(ValueError, match="got linear, EDSR; there is linear, SI, IIA"):
        paired_plots(TABLE, "dice_mean", "linear", ["EDSR"])
    with pytest.raises(ValueError, match="at least one method"):
        paired_plots(TABLE, "dice_mean", "linear", [])


def test_several_rows_of_a_case_are_refused():
    with pytest.raises(ValueError, match="several for case case0, method linear: average"):
        paired_plots(pd.concat([TABLE, TABLE]), "dice_mean", "linear", ["SI"])

"""What the curves of several segmentation networks show: every run, its best epoch."""

import numpy as np
import pandas as pd
import pytest

from slicefill.reporting.figures import segmentation_curves


def history(loss, dice):
    terms = {"train/loss": loss, "train/supervised": loss, "validation/dice": dice}
    rows = [
        (epoch, term, value)
        for term, values in terms.items()
        for epoch, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows, columns=["epoch", "term", "value"]).sample(frac=1, random_state=0)


def curves(axis):
    return [line for line in axis.lines if len(line.get_xdata()) > 1]


def dots(axis):
    lines = [line for line in axis.lines if len(line.get_xdata()) == 1]
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines]


RUNS = {
    "no_imputation/0": history([3, 2, 1], [0.1, 0.3, 0.2]),
    "no_imputation/1": history([4, 3, 2], [0.2, 0.2, 0.1]),
    "SI/0": history([2, 1], [0.4, 0.5]),
}


def test_every_run_has_a_line_for_loss_and_for_dice_in_order_of_epochs():
    loss, dice = segmentation_curves(RUNS).axes
    assert [list(line.get_ydata()) for line in curves(loss)] == [[3, 2, 1], [4, 3, 2], [2, 1]]
    assert list(curves(dice)[2].get_xdata()) == [1, 2]
    assert list(curves(dice)[2].get_ydata()) == [0.4, 0.5]


def test_the_first_of_equally_good_epochs_is_marked():
    _, dice = segmentation_curves(RUNS).axes
    assert dots(dice) == [(2, 0.3), (1, 0.2), (2, 0.5)]


def test_seeds_of_a_method_look_alike_and_methods_differ():
    figure = segmentation_curves(RUNS)
    first, second, other = (line.get_color() for line in curves(figure.axes[0]))
    assert first == second != other
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["no imputation", "SI"]


def test_epochs_without_a_score_are_never_the_best():
    runs = {
        "some": history([2, 1, 1], [np.nan, 0.2, 0.1]),
        "never": history([2, 1], [np.nan, np.nan]),
    }
    _, dice = segmentation_curves(runs).axes
    assert dots(dice) == [(2, 0.2)]


def test_what_is_missing_is_named_with_its_run():
    partial = history([1], [0.5]).query("term != 'validation/dice'")
    with pytest.raises(ValueError, match="run SI/0: no term validation/dice; got train/"):
        segmentation_curves({"SI/0": partial})
    with pytest.raises(ValueError, match="run SI/0: expected rows with columns epoch"):
        segmentation_curves({"SI/0": pd.DataFrame({"epoch": [1]})})
    with pytest.raises(ValueError, match="at least one run"):
        segmentation_curves({})

"""What the plots show: every term and every case, none twice, none dropped in silence."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from slicefill.metrics import metric_label
from slicefill.reporting.figures import attention_maps, loss_curves, metric_plots
from slicefill.reporting.figures.curves import best_epoch


def history(*rows):
    return pd.DataFrame(rows, columns=["epoch", "term", "value"])


def curves():
    terms = (
        *(f"train/{kind}/{term}" for kind in ("raw", "weighted") for term in ("rec", "adv")),
        "train/total",
        "critic/global",
        "critic/local",
        "validation/psnr/through_plane",
        "validation/psnr/in_plane",
    )
    return history(*((epoch, term, 1.0 / epoch) for epoch in (1, 2, 3) for term in terms))


def legend_names(axis):
    legend = axis.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_loss_curves_group_terms_that_belong_together():
    drawn = {
        axis.get_title(): legend_names(axis)
        for axis in loss_curves(curves()).axes
        if axis.get_title()
    }
    assert drawn == {
        "critic": ["global", "local"],
        "train/raw/adv": [],
        "train/raw/rec": [],
        "train/total": [],
        "train/weighted": ["rec", "adv"],
        "validation/psnr": ["through plane", "in plane"],
    }


def test_loss_curves_mark_the_best_epoch_in_every_panel():
    for axis in loss_curves(curves()).axes:
        if axis.get_title():
            assert list(axis.lines[-1].get_xdata()) == [1, 1]


def test_best_epoch_averages_directions_and_skips_undefined_ones():
    rows = history(
        (1, "validation/psnr/in_plane", 30.0),
        (1, "validation/psnr/through_plane", 20.0),
        (2, "validation/psnr/in_plane", 28.0),
        (2, "validation/psnr/through_plane", 24.0),
        (3, "validation/psnr/in_plane", np.nan),
    )
    assert best_epoch(rows) == 2
    assert best_epoch(history((1, "train/total", 1.0))) is None


def test_loss_curves_refuse_an_empty_or_foreign_history():
    with pytest.raises(ValueError, match="got 0 rows"):
        loss_curves(history())
    with pytest.raises(ValueError, match="columns epoch, term and value"):
        loss_curves(pd.DataFrame({"epoch": [1], "loss": [0.5]}))


def test_attention_maps_share_one_scale():
    maps = np.stack([np.full((8, 9), 0.1), np.full((8, 9), 0.9)])
    below = attention_maps(np.ones((2, 8, 9)), maps).axes[2:4]
    assert [axis.images[1].get_clim() for axis in below] == [(0.1, 0.9)] * 2


@pytest.mark.parametrize("shape", [(2, 8, 8), (8, 9)])
def test_attention_maps_refuse_other_shapes(shape):
    with pytest.raises(ValueError, match=r"one shape \(n, H, W\)"):
        attention_maps(np.ones((2, 8, 9)), np.ones(shape))


def scores():
    return pd.DataFrame(
        {
            "case": ["a", "b", "a", "b"],
            "method": ["linear", "linear", "cubic", "cubic"],
            "psnr_body": [20.0, 22.0, 21.0, np.nan],
            "dice_mean": [0.8, 0.9, 0.7, 0.6],
        }
    )


def test_metric_plots_pair_cases_and_keep_the_order_of_methods():
    psnr, dice = metric_plots(scores(), ["psnr_body", "dice_mean"]).axes
    assert [label.get_text() for label in psnr.get_yticklabels()] == ["linear", "cubic"]
    assert psnr.yaxis_inverted()
    assert (psnr.get_xlabel(), dice.get_xlabel()) == ("PSNR, body (dB)", "Dice, mean")
    assert list(dice.lines[0].get_xdata()) == [0.8, 0.7]
    assert list(dice.lines[1].get_xdata()) == [0.9, 0.6]


def test_metric_plots_count_undefined_values():
    psnr, dice = metric_plots(scores(), ["psnr_body", "dice_mean"]).axes
    assert psnr.get_title() == "undefined, not shown: 1"
    assert dice.get_title() == ""


def test_metric_plots_name_the_missing_column():
    with pytest.raises(ValueError, match="no column ssim_body"):
        metric_plots(scores(), ["ssim_body"])


def test_metric_labels_carry_units_and_take_the_longest_name():
    assert metric_label("assd_left_ventricle") == "ASSD, left ventricle (mm)"
    assert metric_label("volume_bias_abs_mean") == "|volume bias|, mean (fraction)"
    assert metric_label("bias_body") == "bias, body (intensity)"
    assert metric_label("biased") == "biased"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: loss_curves(history((1, "train/weighted/rec", 0.0))),
        lambda: attention_maps(np.zeros((1, 4, 4)), np.zeros((1, 4, 4))),
        lambda: metric_plots(scores().iloc[:1], ["psnr_body"]),
    ],
    ids=["all zero", "flat map", "one case"],
)
def test_degenerate_input_renders_and_leaves_no_global_state(draw, tmp_path):
    before = dict(mpl.rcParams)
    draw().savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []

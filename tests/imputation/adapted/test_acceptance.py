"""Adapted weights are used only where PSNR gains and neither SSIM nor labels fall."""

import numpy as np
import pytest

from slicefill.imputation.methods.adapted.acceptance import compare_dice, list_objections
from slicefill.imputation.methods.adapted.adaptation import training_params
from slicefill.imputation.methods.adapted.held_out_labels import (
    dice_of_slice,
    score_held_out_labels,
)

SURE = {"gain_db": 0.9, "p": 1e-6, "ssim_gain": 0.01, "ssim_fall_p": 1.0}


@pytest.mark.parametrize(
    ("found", "objection"),
    [
        ({}, None),
        ({"p": 0.02}, "not every kind of held-out slices gains 0.05 dB"),
        ({"gain_db": 0.04}, "not every kind of held-out slices gains 0.05 dB"),
        ({"ssim_gain": -0.0014, "ssim_fall_p": 0.003}, "SSIM falls on other slices (-0.0014"),
        ({"ssim_gain": -0.0001, "ssim_fall_p": 0.3}, None),
    ],
)
def test_every_kind_of_slice_must_gain_for_sure_and_none_may_fall(adaptation, found, objection):
    kinds = {"in_plane": SURE, "other": SURE | found}
    said = list_objections(kinds, None, adaptation(largest_p=0.01))
    assert [each.startswith(objection or "nothing") for each in said] == [True] * bool(objection)


def test_labels_may_not_fall_by_more_than_chance(adaptation):
    params = adaptation(largest_p=0.01)
    kinds = {"in_plane": SURE}
    worse = compare_dice([0.9] * 6, [0.8, 0.89, 0.85, 0.7, 0.88, 0.86])
    assert worse["dice_gain"] == pytest.approx(-0.07)
    assert worse["dice_fall_p"] == pytest.approx(2**-6)  # all of six fall
    assert list_objections(kinds, worse, params) == [
        "labels of held-out slices are worse (Dice -0.0700, p = 0.016)"
    ]
    mixed = compare_dice([0.9] * 4, [0.91, 0.89, 0.92, 0.85])
    assert mixed["dice_gain"] < 0  # two of four fall
    assert list_objections(kinds, mixed, params) == []
    assert compare_dice([], []) is None


def test_labels_of_held_out_slices_are_predicted_from_their_neighbours(start, adaptation, discs):
    params = training_params(start, adaptation())
    cases = discs(2)
    depth = min(case.make().label.stored.shape[2] for case in cases.values())
    scores = score_held_out_labels(start, cases, params)
    assert len(scores) == 2 * ((depth - 1) // 2)
    assert all(0 < score <= 1 for score in scores)
    assert score_held_out_labels(start, discs(2, labelled=False), params) == []


def test_dice_of_a_slice_is_a_mean_over_the_ids_around_it():
    truth, made = np.array([[1, 1, 2, 0]]), np.array([[1, 1, 0, 2]])
    assert dice_of_slice(truth[None], truth, made) == 0.5  # 1 is found, 2 is missed
    assert dice_of_slice(0 * truth[None], 0 * truth, made) is None

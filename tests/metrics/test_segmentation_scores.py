"""Segmentation scores: by hand, against MedPy and surface-distance, and with empty masks."""

import numpy as np
import pandas as pd
import pytest
import surface_distance
from scipy.ndimage import gaussian_filter

from slicefill.metrics import find_metric
from slicefill.metrics.segmentation import score_segmentation
from slicefill.params import ScoringParams

SPACING = np.array([5.0, 1.0, 1.0])
SHAPE = (6, 20, 24)
DIAGONAL = np.sqrt(30**2 + 20**2 + 24**2)  # mm


def params(**changes):
    values = {
        "bootstrap_samples": 100,
        "confidence_level": 0.95,
        "seed": 0,
        "label_names": {0: "background", 1: "liver", 4: "tumour"},
        "tolerance": 1.0,
        "both_empty": "drop",
        "one_empty": "drop",
        "figure_cases": 1,
        "failure_dice": 0.5,
    }
    return ScoringParams(**(values | changes))


def blob(seed):
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), (1, 3, 3))
    return smooth > np.quantile(smooth, 0.8)


def box(*edges):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*edge) for edge in edges)] = True
    return mask


PAIRS = {
    "random": (blob(1), blob(2)),
    "shifted": (blob(3), np.roll(blob(3), 2, axis=2)),
    "at the border": (box((0, 2), (0, 7), (0, 9)), box((0, 3), (0, 6), (2, 9))),
    "all slices": (box((0, 6), (4, 9), (3, 9)), box((0, 6), (5, 11), (3, 8))),
    "one voxel": (box((2, 3), (4, 5), (6, 7)), box((4, 5), (4, 5), (6, 7))),
    "one voxel of many": (box((2, 3), (4, 5), (6, 7)), blob(5)),
}


def score(pair, **changes):
    """Score two masks of one class, without the name of the class."""
    found, real = (mask * 4 for mask in pair)
    scores = score_segmentation(found, real, SPACING, params(label_names={4: "it"}, **changes))
    return {name.removesuffix("_it"): value for name, value in scores.items()}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_scores_agree_with_medpy(pair):
    medpy = pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed")
    found = score(pair)
    assert found["dice"] == pytest.approx(medpy.dc(*pair))
    assert found["ravd"] == pytest.approx(medpy.ravd(*pair))
    assert found["assd"] == pytest.approx(medpy.assd(*pair, voxelspacing=SPACING), rel=1e-5)
    assert found["mssd"] == pytest.approx(medpy.hd(*pair, voxelspacing=SPACING), rel=1e-5)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_nsd_agrees_with_deepmind(pair):
    distances = surface_distance.compute_surface_distances(*pair[::-1], SPACING)
    expected = surface_distance.compute_surface_dice_at_tolerance(distances, 1.0)
    assert score(pair)["nsd"] == pytest.approx(expected, abs=1e-5)


def test_forgetting_the_spacing_would_show():
    pair = [mask.astype(int) for mask in PAIRS["random"]]
    one = params(label_names={1: "it"})
    right, wrong = (score_segmentation(*pair, pitch, one) for pitch in (SPACING, np.ones(3)))
    for metric in ("assd", "mssd", "hd95", "ml"):
        assert right[f"{metric}_it"] > 1.2 * wrong[f"{metric}_it"]


def test_a_case_by_hand():
    """Liver: two of four voxels found, in one of two slices. Tumour: one voxel, 3 mm beside."""
    truth, prediction = np.zeros(SHAPE, int), np.zeros(SHAPE, int)
    truth[1:3, 3, 3:5] = prediction[1, 3, 3:5] = 1
    truth[4, 10, 10] = prediction[4, 10, 13] = 4
    scores = score_segmentation(prediction, truth, SPACING, params())
    expected = {
        "dice_liver": 2 / 3,
        "dice_tumour": 0,
        "dice_mean": 1 / 3,
        "ravd_liver": -0.5,
        "ravd_tumour": 0,
        "ravd_mean": -0.25,
        "ravd_abs_liver": 0.5,
        "ravd_abs_mean": 0.25,
        "assd_liver": 10 / 6,  # of six surface voxels two are 5 mm from the other surface
        "assd_tumour": 3,
        "mssd_liver": 5,
        "mssd_mean": 4,
        "nsd_tumour": 0,
        "ml_liver": 0.010,
        "ml_truth_liver": 0.020,
        "ml_tumour": 0.005,
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert [scores[f"{side}_empty"] for side in ("both", "prediction", "truth")] == [0, 0, 0]
    assert not [name for name in scores if "background" in name or name.startswith("ml_mean")]


def test_tolerance_is_in_mm():
    pair = PAIRS["one voxel"]  # centres 10 mm apart, one slice of 5 mm between them
    assert score(pair, tolerance=4.0)["nsd"] == 0
    assert score(pair, tolerance=11.0)["nsd"] == 1


NOTHING, SOMETHING = np.zeros(SHAPE, bool), blob(7)
DISTANCES = ("assd", "mssd", "hd95")
METRICS = ("dice", "ravd", "ravd_abs", *DISTANCES, "nsd")


def test_both_empty_is_left_out_or_right():
    dropped = score((NOTHING, NOTHING))
    assert np.isnan([dropped[metric] for metric in METRICS]).all()
    perfect = score((NOTHING, NOTHING), both_empty="perfect")
    assert [perfect[metric] for metric in METRICS] == [1, 0, 0, 0, 0, 0, 1]
    for found in (dropped, perfect):
        assert (found["both_empty"], found["prediction_empty"], found["truth_empty"]) == (1, 0, 0)


@pytest.mark.parametrize("policy", ["drop", "perfect"])
def test_a_class_is_empty_for_overlap_and_volume_where_judged_slices_lack_it(policy):
    """Tumour: on the first slice alone, which is not judged; found there 3 mm beside."""
    truth, prediction = np.zeros(SHAPE, int), np.zeros(SHAPE, int)
    truth[:, 3, 3:5] = prediction[:, 3, 3:5] = 1
    truth[0, 10, 10] = prediction[0, 10, 13] = 4
    removed = np.arange(len(truth)) > 0
    scores = score_segmentation(prediction, truth, SPACING, params(both_empty=policy), removed)
    found = [scores[f"{metric}_tumour"] for metric in ("dice", "ravd", "ravd_abs")]
    expected = [1, 0, 0] if policy == "perfect" else [np.nan] * 3
    assert found == pytest.approx(expected, nan_ok=True)
    assert (scores["assd_tumour"], scores["dice_tumour_all_slices"]) == (3, 0)
    assert [scores[f"{side}_empty"] for side in ("both", "prediction", "truth")] == [1, 0, 0]


@pytest.mark.parametrize(("policy", "distance"), [("drop", np.nan), ("diagonal", DIAGONAL)])
@pytest.mark.parametrize("missed", [True, False])
def test_one_empty_is_no_overlap_and_a_distance_as_the_policy_says(policy, distance, missed):
    pair = (NOTHING, SOMETHING) if missed else (SOMETHING, NOTHING)
    found = score(pair, one_empty=policy, both_empty="perfect")
    assert (found["dice"], found["nsd"]) == (0, 0)
    assert [found[metric] for metric in DISTANCES] == pytest.approx([distance] * 3, nan_ok=True)
    difference = -1 if missed else np.nan
    assert found["ravd"] == pytest.approx(difference, nan_ok=True)
    assert found["ravd_abs"] == pytest.approx(abs(difference), nan_ok=True)
    assert (found["prediction_empty"], found["truth_empty"]) == (missed, not missed)


def test_the_mean_is_over_the_classes_with_a_value():
    truth = PAIRS["random"][1].astype(int)
    prediction = PAIRS["random"][0].astype(int)
    scores = score_segmentation(prediction, truth, SPACING, params())  # tumour: both empty
    assert scores["dice_mean"] == scores["dice_liver"]
    perfect = score_segmentation(prediction, truth, SPACING, params(both_empty="perfect"))
    assert perfect["dice_mean"] == (scores["dice_liver"] + 1) / 2


def test_every_score_has_a_direction_unless_it_is_a_volume_or_a_count():
    for name in score((SOMETHING, SOMETHING)):
        if not name.startswith("ml") and not name.endswith("_empty"):
            find_metric(name).merit(pd.Series([0.0]))


def test_other_slices_are_refused():
    with pytest.raises(ValueError, match="take the slices of the prediction"):
        score_segmentation(np.zeros((5, 3, 3)), np.zeros((2, 3, 3)), SPACING, params())

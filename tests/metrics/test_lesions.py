"""Lesions: counted by hand, and against SciPy's components; the curve over thresholds."""

import numpy as np
import pytest
from scipy import ndimage

from slicefill.metrics.lesions import OperatingPoint, count_lesions, froc, froc_score
from slicefill.metrics.segmentation import score_segmentation
from slicefill.params import ScoringParams

SHAPE = (6, 24, 24)


def boxes(*corners, size=2):
    mask = np.zeros(SHAPE, bool)
    for corner in corners:
        mask[tuple(slice(edge, edge + size) for edge in corner)] = True
    return mask


def blobs(seed, share):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.2)
    return smooth > np.quantile(smooth, 1 - share)


def reference(prediction, truth):
    """Count as the paper says, by SciPy's labels and centres."""
    near = np.ones((3, 3, 3))
    lesions, true = ndimage.label(truth, near)
    found, count = ndimage.label(prediction, near)
    centres = ndimage.center_of_mass(prediction, found, range(1, count + 1))
    hits = [lesions[tuple(int(np.rint(edge)) for edge in centre)] for centre in centres]
    return len({hit for hit in hits if hit}), true, hits.count(0)


def test_a_lesion_is_found_by_a_centre_within_it():
    truth = boxes((0, 2, 2), (0, 10, 10), (3, 2, 2))
    found = boxes((0, 2, 2), (3, 2, 2), (3, 18, 18), (3, 18, 2))
    assert count_lesions(found, truth) == (2, 3, 2)


def test_two_findings_in_one_lesion_find_one():
    truth = boxes((1, 4, 4), size=4)
    found = np.zeros(SHAPE, bool)
    found[2, 4, 4] = found[2, 7, 7] = True
    assert count_lesions(found, truth) == (1, 1, 0)


def test_a_finding_that_joins_two_lesions_is_centred_in_neither():
    truth = boxes((0, 2, 2), (0, 2, 12))
    found = truth.copy()
    found[0, 2, 2:14] = True
    assert count_lesions(found, truth) == (0, 2, 1)


@pytest.mark.parametrize("seed", range(8))
def test_counts_agree_with_scipy(seed):
    truth, found = blobs(seed, 0.03), blobs(seed, 0.05) ^ blobs(seed + 50, 0.01)
    assert reference(found, truth)[2] > 0
    assert count_lesions(found, truth) == reference(found, truth)


def test_without_lesions_findings_are_false_and_sensitivity_is_unknown():
    nothing = np.zeros(SHAPE, bool)
    counted = count_lesions(boxes((0, 2, 2)), nothing)
    assert (counted.true, counted.false_positives) == (0, 1)
    assert np.isnan(counted.sensitivity)
    assert count_lesions(nothing, boxes((0, 2, 2))).sensitivity == 0


def test_the_curve_by_hand():
    """Two scans, three lesions: 0.9 finds one; 0.5 another, and one false; 0.2 two false more."""
    one, other = np.zeros(SHAPE), np.zeros(SHAPE)
    one[boxes((0, 2, 2))], one[boxes((0, 10, 10))], one[boxes((3, 18, 2))] = 0.9, 0.5, 0.6
    other[boxes((0, 2, 2))], other[boxes((3, 10, 10))] = 0.2, 0.3
    scans = [(one, boxes((0, 2, 2), (0, 10, 10))), (other, boxes((0, 18, 18)))]
    points = froc(scans, [0.2, 0.5, 0.9])
    expected = [(0.9, 1 / 3, 0.0), (0.5, 2 / 3, 0.5), (0.2, 2 / 3, 1.5)]
    assert np.allclose(points, expected)
    assert froc_score(points, [0.25, 0.5, 2]) == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)


def test_a_rate_that_is_never_kept_counts_nothing():
    assert froc_score([OperatingPoint(0.5, 1.0, 3.0)], [1, 4]) == 0.5


def test_without_lesions_the_score_is_unknown():
    found = np.where(boxes((0, 2, 2)), 0.9, 0)
    points = froc([(found, np.zeros(SHAPE, bool))], [0.25, 0.5])
    assert np.isnan(froc_score(points, [0.125, 2]))  # the lower rate is kept by none of them


def test_without_a_scan_there_is_no_curve():
    with pytest.raises(ValueError, match="at least one scan"):
        froc([], [0.5])


def make_params(**changes):
    values = {"label_names": {0: "background", 1: "spot"}, "tolerance": 1.0, "seed": 0}
    values |= {"both_empty": "drop", "one_empty": "drop", "figure_cases": 1, "failure_dice": 0.5}
    return ScoringParams(bootstrap_samples=100, confidence_level=0.95, **{**values, **changes})


def test_lesions_are_scored_on_request_alone():
    truth, found = boxes((0, 2, 2), (0, 10, 10)), boxes((0, 2, 2), (3, 18, 18))
    usual = score_segmentation(found * 1, truth * 1, np.ones(3), make_params())
    assert not [name for name in usual if name.startswith("lesion")]
    asked = score_segmentation(found * 1, truth * 1, np.ones(3), make_params(metrics=["lesion"]))
    assert asked["lesion_sensitivity_spot"] == 0.5
    assert asked["lesion_false_positives_mean"] == 1
    with pytest.raises(ValueError, match=r"scoring\.metrics: expected some of lesion_"):
        score_segmentation(found * 1, truth * 1, np.ones(3), make_params(metrics=["lesions"]))

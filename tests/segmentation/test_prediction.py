"""From probabilities to label maps in the world of a scan, and to scores on acquired slices."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import AugmentationParams, ScoringParams, SegmentationParams
from slicefill.segmentation.prediction import (
    make_prediction,
    score_at_full_resolution,
    score_prediction,
)
from slicefill.segmentation.scans import make_scan
from slicefill.types import Case

NAMES = {0: "background", 5: "liver", 2: "tumour"}  # out of order on purpose
IDS = np.array([0, 2, 5])
SHAPE = (4, 12, 10)  # acquired slices, rows, columns
AXES = pytest.mark.parametrize("axis", [0, 1, 2])


@pytest.fixture(scope="module")
def base(configuration):
    return configuration()["parameters"]


@pytest.fixture(scope="module")
def params(base):
    def make(label_names=NAMES, softmax=False):
        inference = {**base["segmentation"]["inference"], "softmax": softmax}
        changes = {"label_names": label_names, "inference": inference}
        return SegmentationParams(**{**base["segmentation"], **changes})

    return make


@pytest.fixture(scope="module")
def score(base):
    names = {i: NAMES[i] for i in IDS.tolist()}
    params = ScoringParams(**{**base["scoring"], "label_names": names, "tolerance": 1.0})
    return lambda prediction, truth, absent=(): score_prediction(
        prediction, truth, params, absent=absent
    )


@pytest.fixture(scope="module")
def score_whole(base):
    names = {i: NAMES[i] for i in IDS.tolist()}
    params = ScoringParams(**{**base["scoring"], "label_names": names, "tolerance": 1.0})

    def score(prediction, truth, kept):
        removed = [k for k in range(kept[-1]) if k not in kept]
        source = {"kept": kept, "removed": removed}
        return score_at_full_resolution(prediction, truth, source, params)

    return score


@pytest.fixture
def acquired_case(volume):
    """A turned, scaled case whose slices are 4 mm apart along an array axis."""

    def make(axis, labels=None):
        rng = np.random.default_rng(0)
        labels = rng.choice(IDS, SHAPE) if labels is None else labels
        pitch = np.insert([0.5, 1.0], axis, 4.0)
        turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.4)
        affine = nib.affines.from_matvec(turn @ np.diag(pitch), [-40.0, 25.0, 7.0])
        slices = rng.integers(0, 900, SHAPE).astype(np.int16)
        image = volume(np.moveaxis(slices, 0, axis), affine, scale=(0.5, -10.0))
        return Case(image, volume(np.moveaxis(labels.astype(np.uint8), 0, axis), affine))

    return make


@pytest.fixture
def fill(imputation_params, base):
    """The case imputed with two slices per interval, and the scan that a network sees of it."""

    def impute_linearly(case):
        params = imputation_params(through_plane="auto", count=2)
        imputed = impute_case(case, classical_imputer("linear", params), params)
        seen = AugmentationParams(**{**base["augmentation"], "through_plane": "auto"})
        return imputed, make_scan(case, imputed, None, seen)

    return impute_linearly


def sure_of(classes):
    """A predictor that is fairly sure of class indices `(D, H, W)`."""
    probabilities = np.moveaxis(0.1 + 0.7 * np.eye(3, dtype=np.float32)[classes], -1, 0)
    return lambda scan: probabilities


def indices(labels):
    return np.searchsorted(IDS, labels)


@AXES
def test_the_label_map_lies_in_the_world_of_the_grid_and_holds_ids(
    axis, acquired_case, fill, params
):
    imputed, scan = fill(acquired_case(axis))
    classes = np.random.default_rng(1).integers(0, 3, scan.label.shape)
    label = make_prediction(sure_of(classes), scan, imputed, params()).label
    np.testing.assert_array_equal(label.stored, IDS[np.moveaxis(classes, 0, axis)])
    np.testing.assert_array_equal(label.affine, imputed.image.affine)
    assert label.stored.dtype == label.header.get_data_dtype() == np.uint8
    assert label.slope_intercept == (1.0, 0.0)  # the image has another


def test_ids_beyond_one_byte_are_kept(acquired_case, fill, params):
    imputed, scan = fill(acquired_case(2))
    names = {0: "background", 255: "a", 4096: "b"}
    classes = np.random.default_rng(1).integers(0, 3, scan.label.shape)
    label = make_prediction(sure_of(classes), scan, imputed, params(names)).label
    assert label.stored.dtype == np.int16
    np.testing.assert_array_equal(np.unique(label.stored), [0, 255, 4096])
    few = make_prediction(sure_of(classes), scan, imputed, params({0: "", 1: "a", 255: "b"})).label
    assert few.stored.dtype == np.uint8


@AXES
def test_probabilities_are_kept_on_the_grid_if_asked_for(axis, acquired_case, fill, params):
    imputed, scan = fill(acquired_case(axis))
    classes = np.random.default_rng(1).integers(0, 3, scan.label.shape)
    assert make_prediction(sure_of(classes), scan, imputed, params()).softmax is None
    kept = make_prediction(sure_of(classes), scan, imputed, params(softmax=True))
    assert kept.softmax.stored.shape == (*imputed.image.stored.shape, 3)
    assert kept.softmax.stored.dtype == np.float32
    np.testing.assert_allclose(kept.softmax.stored.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(IDS[kept.softmax.stored.argmax(-1)], kept.label.stored)
    np.testing.assert_array_equal(kept.softmax.affine, imputed.image.affine)


@AXES
def test_the_record_says_which_slices_were_acquired(axis, acquired_case, fill, params):
    imputed, scan = fill(acquired_case(axis))
    record = make_prediction(sure_of(indices(scan.label)), scan, imputed, params()).record
    assert record["axis"] == axis
    assert record["acquired"] == [0, 3, 6, 9]
    assert record["label_names"] == {"0": "background", "2": "tumour", "5": "liver"}


@AXES
def test_errors_on_synthetic_slices_do_not_count(axis, acquired_case, fill, params, score):
    case = acquired_case(axis)
    imputed, scan = fill(case)
    classes = indices(scan.label)
    classes[~scan.acquired] = (classes[~scan.acquired] + 1) % 3  # wrong in every voxel
    scores = score(make_prediction(sure_of(classes), scan, imputed, params()), case.label)
    assert scores["dice_liver"] == scores["dice_tumour"] == scores["dice_mean"] == 1
    assert scores["mssd_mean"] == 0
    classes[3] = (classes[3] + 1) % 3  # an acquired slice
    scores = score(make_prediction(sure_of(classes), scan, imputed, params()), case.label)
    assert 0.6 < scores["dice_mean"] < 0.9


def test_what_a_series_lacked_is_no_truth(acquired_case, fill, params, score):
    """The third slice was filled: of an imputed series the prediction has it, or lacks it."""
    case = acquired_case(2)
    imputed, scan = fill(case)
    classes = indices(scan.label)
    classes[6] = (classes[6] + 1) % 3
    made = make_prediction(sure_of(classes), scan, imputed, params())
    assert score(made, case.label)["dice_mean"] < 1
    assert score(made, case.label, (2,))["dice_mean"] == 1
    lacking = replace(made, record={**made.record, "acquired": [0, 3, 9]})
    scores = score(lacking, case.label, (2,))
    assert scores["dice_mean"] == 1
    assert scores["mssd_mean"] == 0


@AXES
def test_scores_are_in_mm_of_the_acquired_slices(axis, acquired_case, fill, params, score):
    labels = np.zeros(SHAPE, int)
    labels[1, 4:8, 3:6] = 5
    case = acquired_case(axis, labels)
    imputed, scan = fill(case)
    classes = np.zeros_like(scan.label)
    classes[6, 4:8, 3:6] = 2  # one acquired slice further, 4 mm
    scores = score(make_prediction(sure_of(classes), scan, imputed, params()), case.label)
    assert scores["mssd_liver"] == pytest.approx(4.0, rel=1e-5)
    assert scores["ml_liver"] == pytest.approx(4 * 3 * 4.0 * 0.5 * 1.0 / 1000, rel=1e-5)
    assert scores["dice_liver"] == 0


@AXES
def test_a_case_that_was_not_imputed_is_scored_whole(axis, acquired_case, base, params, score):
    case = acquired_case(axis)
    seen = AugmentationParams(**{**base["augmentation"], "through_plane": "auto"})
    scan = make_scan(replace(case, label=None), None, None, seen)
    labels = np.moveaxis(case.label.stored, axis, 0)
    prediction = make_prediction(sure_of(indices(labels)), scan, case, params())
    assert prediction.record["acquired"] == [0, 1, 2, 3]
    assert score(prediction, case.label)["dice_mean"] == 1


@AXES
def test_at_full_resolution_removed_slices_are_judged_and_surfaces_on_all(
    axis, acquired_case, fill, params, score_whole
):
    """Two synthetic slices lie between two acquired ones, as many as were removed."""
    thick = acquired_case(axis)
    imputed, scan = fill(thick)
    truth = np.random.default_rng(2).choice(IDS, scan.label.shape)
    kept = [0, 3, 6, 9]
    right = make_prediction(sure_of(indices(truth)), scan, imputed, params())
    volume = imputed.image.with_stored(
        np.moveaxis(truth.astype(np.uint8), 0, axis), slope_intercept=(1.0, 0.0)
    )
    assert score_whole(right, volume, kept)["dice_mean"] == 1
    wrong = indices(truth)
    wrong[kept] = (wrong[kept] + 1) % 3  # where labels are known: not judged
    scores = score_whole(make_prediction(sure_of(wrong), scan, imputed, params()), volume, kept)
    assert scores["dice_mean"] == 1
    assert scores["ravd_liver"] == 0
    found, real = IDS[wrong] == 5, truth == 5
    whole = 2 * (found & real).sum() / (found.sum() + real.sum())
    assert scores["dice_liver_all_slices"] == pytest.approx(whole)
    assert scores["assd_liver"] > 0
    wrong = indices(truth)
    removed = [k for k in range(10) if k not in kept]
    wrong[removed] = 0
    scores = score_whole(make_prediction(sure_of(wrong), scan, imputed, params()), volume, kept)
    assert scores["dice_liver"] == 0
    assert scores["ravd_liver"] == -1
    assert scores["dice_liver_all_slices"] > 0


def test_a_prediction_of_acquired_slices_has_no_score_at_full_resolution(
    acquired_case, base, params, score_whole
):
    case = acquired_case(2)
    seen = AugmentationParams(**{**base["augmentation"], "through_plane": "auto"})
    scan = make_scan(case, None, None, seen)
    made = make_prediction(sure_of(indices(scan.label)), scan, case, params())
    with pytest.raises(ValueError, match=r"expected 10 slices.*got 4"):
        score_whole(made, case.label, [0, 3, 6, 9])


def test_confidence_is_the_probability_of_the_label(acquired_case, fill, params):
    imputed, scan = fill(acquired_case(1))
    classes = np.random.default_rng(1).integers(0, 3, scan.label.shape)
    rule = params()
    inference = rule.inference.model_copy(update={"confidence": True})
    rule = rule.model_copy(update={"inference": inference})
    made = make_prediction(sure_of(classes), scan, imputed, rule)
    np.testing.assert_allclose(made.confidence.intensities(), 0.8, atol=1e-6)
    np.testing.assert_array_equal(made.confidence.affine, made.label.affine)

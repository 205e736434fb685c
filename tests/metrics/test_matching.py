"""Scores of an imputed volume without a record: acquired slices are recognised by their bits."""

import numpy as np
import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.metrics.matching import match_slices, score_against_truth
from slicefill.params.imputation import imputation_params
from slicefill.types import Case


@pytest.fixture
def truth(case):
    return case(shape=(24, 20, 9))


def thick(truth, axis, step):
    index_map = np.eye(4)
    index_map[axis, axis] = step
    keep = tuple(slice(None, None, step if one == axis else 1) for one in range(3))
    return Case(*(v.with_stored(v.stored[keep], index_map) for v in (truth.image, truth.label)))


@pytest.mark.parametrize(("axis", "name", "step"), [(2, "S", 2), (2, "S", 4), (0, "L", 3)])
def test_axis_and_synthetic_slices_are_found(truth, axis, name, step):
    scan = thick(truth, axis, step)
    rule = imputation_params(count=step - 1, axis=name)
    imputed = impute_case(scan, load_named("linear", rule), rule)
    slices = match_slices(imputed, truth)
    assert slices.axis == axis
    np.testing.assert_array_equal(slices.synthetic, np.arange(len(slices.synthetic)) % step > 0)


def test_scores_are_those_of_the_synthetic_slices_alone(truth):
    stored = truth.image.stored.copy()
    stored[..., 1::2] += 7
    label = truth.label.stored.copy()
    label[..., 1] = 0
    imputed = Case(truth.image.with_stored(stored), truth.label.with_stored(label))
    scores = score_against_truth(imputed, truth)
    assert scores["slices"] == 4
    assert scores["mae_body"] == pytest.approx(7)
    real = truth.label.stored[..., 1::2] == 2
    found = label[..., 1::2] == 2
    dice = 2 * (real & found).sum() / (real.sum() + found.sum())
    assert scores["dice_2"] == pytest.approx(dice)


def test_what_cannot_be_matched_is_refused_with_what_to_do(truth, case):
    with pytest.raises(ValueError, match="no slice differs"):
        score_against_truth(truth, truth)
    with pytest.raises(ValueError, match="every slice differs"):
        score_against_truth(Case(truth.image.with_stored(truth.image.stored + 1)), truth)
    with pytest.raises(ValueError, match="on the grid of the truth"):
        score_against_truth(case(), Case(thick(truth, 2, 2).image))
    several = truth.image.with_stored(np.stack([truth.image.stored] * 3, axis=-1))
    two = truth.image.with_stored(several.stored[..., :2])
    for found, real in ((several, truth.image), (two, several)):
        with pytest.raises(ValueError, match="on the grid of the truth"):
            score_against_truth(Case(found), Case(real))


@pytest.mark.parametrize("first", [0, 1])
def test_synthetic_background_that_is_that_of_the_truth_is_synthetic(case, first):
    """Zero in the first 13 of 33 slices; ×4, the first acquired slice at 0 or 1; one is absent."""
    dense = case(shape=(16, 16, 33))
    real = dense.image.stored + 1
    real[..., :13] = 0
    synthetic = np.arange(33) % 4 != first
    synthetic[16 + first] = True
    made = np.where((real > 0) & synthetic, real + 1, real)
    imputed, truth = (Case(dense.image.with_stored(stored)) for stored in (made, real))
    slices = match_slices(imputed, truth)
    assert slices.axis == 2
    np.testing.assert_array_equal(slices.synthetic, synthetic)
    assert score_against_truth(imputed, truth)["slices"] == synthetic.sum()


def test_a_lattice_is_told_by_two_acquired_slices_or_more(case):
    """With one, or unevenly many, a slice that is that of the truth counts as acquired."""
    dense = case(shape=(8, 8, 9))
    real = dense.image.stored + 1
    real[..., :3] = 0
    for acquired in ([4], [4, 6, 7]):
        expected = ~np.isin(np.arange(9), [0, 1, 2, *acquired])
        made = Case(dense.image.with_stored(real + expected))
        slices = match_slices(made, Case(dense.image.with_stored(real)))
        np.testing.assert_array_equal(slices.synthetic, expected)


def test_a_border_of_background_is_taken_for_no_acquired_slice(truth):
    stored = truth.image.stored.copy() + 1
    stored[:6] = stored[-6:] = stored[:, :6] = stored[:, -6:] = 0
    dense = Case(truth.image.with_stored(stored), truth.label)
    scan = thick(dense, 2, 4)
    rule = imputation_params(count=3)
    imputed = impute_case(scan, load_named("linear", rule), rule)
    slices = match_slices(imputed, dense)
    assert slices.axis == 2
    np.testing.assert_array_equal(slices.synthetic, np.arange(9) % 4 > 0)

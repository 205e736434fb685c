from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from slicefill.imputation.grids import exact_places, is_dense, refuse_too_much, wanted_grid
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Case


def params(**changes):
    return ImputationParams(**{"hardware": {"accelerator": "cpu"}, **changes})


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"count": "N_A"},
        {"count": 3},
        {"count": None, "target_spacing": 0.9},
        {"count": None, "target_spacing": 0.9, "exact": True},
        {"count": None, "target_spacing": 5.0, "exact": True},
    ],
)
def test_the_grid_that_is_announced_is_the_one_that_is_made(case, rule):
    source, asked = case(), params(**rule)
    grid = wanted_grid(source.image, asked)
    made = impute_case(source, classical_imputer("linear", asked), asked)
    assert made.image.stored.shape[grid.axis] == grid.slices
    assert made.image.spacing[grid.axis] == pytest.approx(grid.spacing)
    assert not grid.dense


@pytest.mark.parametrize(
    ("rule", "dense"),
    [
        ({}, True),
        ({"count": 1}, False),
        ({"count": None, "target_spacing": 0.9}, True),
        ({"count": None, "target_spacing": 0.9, "exact": True}, False),
        ({"count": None, "target_spacing": 1.2, "exact": True}, True),
    ],
)
def test_slices_as_near_as_asked_for_are_dense(rule, dense):
    assert is_dense(np.array([1.0, 1.0, 1.2]), 2, params(**rule)) is dense


def test_exact_places_end_with_the_last_acquired_slice_that_they_reach():
    for depth, step in ((7, 1 / 3.3), (5, 0.2), (9, 1.7), (4, 0.33333)):
        places = exact_places(depth, step)
        np.testing.assert_allclose(np.diff(places), step, atol=2e-3)
        assert places[0] == 0
        assert depth - 1 - step < places[-1] <= depth - 1


def test_a_header_of_a_micrometre_is_refused_before_any_work(case, volume):
    def untouched(*_):
        pytest.fail("the method was called")

    affine = np.diag([0.001, 0.001, 4.0, 1.0])
    source = Case(volume(case().image.stored, affine))
    asked = params()
    imputer = replace(classical_imputer("linear", asked), method=untouched)
    with pytest.raises(BadCase, match=r"12001 slices .* 0\.0\d+ GB.*--most-slices 12001"):
        impute_case(source, imputer, asked)


def test_what_the_refusal_advises_is_accepted(case):
    source, asked = case(), params(count=99, most_slices=50, most_gb=1e-6)
    with pytest.raises(BadCase) as refused:
        refuse_too_much(source, asked)
    words = refused.value.remedy.split()
    slices, gigabytes = (words[words.index(f"--most-{unit}") + 1] for unit in ("slices", "gb"))
    refuse_too_much(source, params(count=99, most_slices=int(slices), most_gb=float(gigabytes)))


def test_bytes_count_image_label_and_maps(case, volume):
    stored = np.zeros((100, 100, 5, 2), np.float32)  # 8 bytes, a label of 1, maps of 3
    source = Case(volume(stored), volume(np.zeros(stored.shape[:3], np.uint8)))
    kept = 100 * 100 * 9 * 12 / 1e9
    refuse_too_much(source, params(count=1, most_gb=kept * 1.001))
    with pytest.raises(BadCase, match=r"0\.00108 GB"):
        refuse_too_much(source, params(count=1, most_gb=kept * 0.999))


def test_where_nothing_is_imputed_nothing_is_too_much(case):
    source = Case(case().image.with_stored(case().image.stored))
    refuse_too_much(source, params(count=0, most_slices=2))


def test_the_largest_axis_alone_counts_slices(volume):
    image = volume(np.zeros((3, 3, 4), np.int16), nib.affines.from_matvec(np.diag([1, 1, 3.3])))
    assert wanted_grid(image, params()).slices == 10
    assert wanted_grid(image, params(count="N_A")).slices == 10

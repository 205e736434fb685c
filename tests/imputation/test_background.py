"""Constant background: found where it is, changed by no method."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.imputation.background import Background, constant_values
from slicefill.imputation.verification import verify_imputed_case
from slicefill.types import Case, Volume

SIZE, DEPTH = 40, 13


def head(background=0, dtype="i2", scale=(1.0, 0.0)):
    """A head of noise, whose outline changes from slice to slice, in constant background."""
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.normal(size=(SIZE, SIZE, DEPTH)), (1.5, 1.5, 1))
    values = np.round(600 + 2000 * texture).clip(background + 5, background + 4000)
    i, j, k = np.indices(values.shape)
    radius = 14 - 0.25 * (k - DEPTH // 2) ** 2
    brain = np.hypot(i - SIZE / 2, j - SIZE / 2 - 0.5 * k + 3) < radius
    stored = np.where(brain, values, background).astype(dtype)
    image = nib.Nifti1Image(stored, np.diag([1.0, 1.0, 3.0, 1.0]))
    image.header.set_slope_inter(*scale)
    return Case(Volume(stored, image.header))


def neighbours_agree(case, value):
    stored = case.image.stored
    return (stored[..., :-1] == value) & (stored[..., 1:] == value)


@pytest.mark.parametrize("method", ["cubic", "linear", "pretrained"])
@pytest.mark.parametrize(
    ("background", "dtype", "scale"),
    [(0, "i2", (1, 0)), (-1, "f8", (1, 0)), (7, "u2", (0.1, -3.3)), (0, ">f4", (2.5, 1))],
)
def test_no_voxel_of_constant_background_changes(impute, method, background, dtype, scale):
    case = head(background, dtype, scale)
    imputed = impute(method, case)
    where = neighbours_agree(case, background)
    assert where.mean() > 0.4
    for n in (1, 2):
        made = imputed.image.stored[..., n::3]
        assert np.array_equal(made[where], np.full(where.sum(), background, made.dtype))
        confidence = imputed.maps["confidence"].stored[..., n::3]
        assert (confidence[where] == 10_000).all()
    assert (imputed.maps["confidence"].stored[..., ::3] == 10_000).all()  # acquired
    assert verify_imputed_case(imputed, case) == []


@pytest.mark.parametrize("method", ["cubic", "pretrained"])
def test_nothing_falls_below_the_background(impute, method):
    imputed = impute(method, head())
    assert imputed.image.stored.min() == 0


def test_the_mask_of_the_body_is_found_between_those_of_its_neighbours(impute):
    case = head()
    found = impute("pretrained", case, count=1).image.stored[..., 1::2] > 0
    first, last = case.image.stored[..., :-1] > 0, case.image.stored[..., 1:] > 0
    assert not (found & ~first & ~last).any()
    assert found[first & last].mean() > 0.999


def test_noise_is_no_constant_background():
    rng = np.random.default_rng(0)
    for dark in (rng.integers(0, 3, (5, 30, 30)), rng.poisson(1, (5, 30, 30))):
        assert constant_values(dark) == []
    assert constant_values(rng.normal(size=(5, 30, 30))) == []


def test_background_is_what_fills_edges_not_what_fills_the_middle():
    slices = np.random.default_rng(0).normal(100, 10, (5, 30, 30))
    slices[:, 10:20, 10:20] = 255  # saturated
    assert constant_values(slices) == []
    slices[:, :3, :3] = 0  # a face that was removed
    slices[:, -12:, -12:] = 0
    assert constant_values(slices) == [0.0]


def test_blank_slices_say_nothing_and_a_constant_channel_is_all_background():
    slices = np.random.default_rng(0).normal(100, 10, (5, 30, 30))
    slices[0], slices[-1] = 7, 9
    assert constant_values(slices) == []
    assert constant_values(np.full((3, 8, 8), 5)) == [5]


def test_held_is_where_both_neighbours_hold_the_same_of_several_values():
    slices = np.random.default_rng(0).normal(100, 10, (3, 1, 20, 20)).astype(np.float32)
    slices[:, :, :4], slices[:, :, -4:] = -2000, -1000
    slices[1, :, :4] = -1000
    found = Background.of(slices, [[-2000.0]])
    assert not found.held[:, :, :4].any()
    assert found.held[:, :, -4:].all()
    assert found.floor.item() == -1000

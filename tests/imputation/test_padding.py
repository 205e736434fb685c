"""Padding stays out of what methods see, and comes back where both neighbours have it."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.padding import find_padding
from slicefill.params import WindowParams
from slicefill.types import Case, Volume

SIZE, KEPT = 48, 6
WINDOW = WindowParams(kind="percentile", low=0.5, high=99.5)
_I, _J, _K = np.indices((SIZE, SIZE, 2 * KEPT - 1))
CORNERS = np.hypot(_I - SIZE / 2 + 0.5, _J - SIZE / 2 + 0.5) > SIZE / 2
BODY = np.hypot((_I - SIZE / 2) / 17, (_J - SIZE / 2) / 14) < 1


def ct():
    """A body of organs that move, in air, with noise of 8 HU; every slice known, `(48, 48, 11)`."""
    rng = np.random.default_rng(1)
    hu = np.where(BODY, 40.0, -1000.0)
    for value in (-90, 250, -700, 120):
        row, column, shift = *rng.uniform(16, 32, 2), rng.uniform(-0.8, 0.8)
        organ = np.hypot(_I - row - shift * (_K - KEPT), _J - column) < rng.uniform(3, 6)
        hu[organ & BODY] = value
    return np.rint(gaussian_filter(hu, (0.8, 0.8, 0.5)) + rng.normal(0, 8, hu.shape))


def case_of(values, dtype="i2"):
    stored = np.ascontiguousarray(values.astype(dtype))
    return Case(Volume(stored, nib.Nifti1Image(stored, np.diag([1, 1, 2.0, 1])).header))


def padded(value):
    return np.where(CORNERS, value, ct())


PADDING = [-2000, -3024, -8192, -32768, -1500]


@pytest.mark.parametrize("method", ["pretrained", "cubic"])
@pytest.mark.parametrize("value", PADDING)
def test_the_body_is_imputed_as_without_padding_and_padding_comes_back(impute, method, value):
    def error(case):
        made = impute(method, case, count=1).image.stored[..., 1::2]
        return np.sqrt(np.square(made - ct()[..., 1::2])[BODY[..., 1::2]].mean())

    case = case_of(padded(value)[..., ::2])
    assert error(case) <= 1.01 * error(case_of(ct()[..., ::2]))
    imputed = impute(method, case, count=1)
    assert (imputed.image.stored[CORNERS] == value).all()
    assert imputed.image.stored[~CORNERS].min() > -1200
    assert (imputed.maps["confidence"].stored[CORNERS] == 10_000).all()
    assert np.array_equal(imputed.image.stored[..., ::2], case.image.stored)


@pytest.mark.parametrize("value", PADDING)
def test_padding_stays_out_of_window_and_input(value):
    plain = stack_case(case_of(ct()), 2, WINDOW)
    stack = stack_case(case_of(padded(value)), 2, WINDOW)
    assert stack.padding == ((float(value),),)
    np.testing.assert_allclose(stack.window, plain.window, atol=10)
    assert stack.image.min() > -1100
    assert plain.padding == ((),)


def test_two_kinds_of_padding_are_both_found():
    values = padded(-2000)
    values[:3] = -32768
    assert find_padding(np.moveaxis(values, 2, 0)) == [-32768.0, -2000.0]


@pytest.mark.parametrize(("background", "least"), [(0, 20), (-1024, -1000), (-1000, -990)])
def test_background_near_the_body_is_no_padding(background, least):
    rng = np.random.default_rng(0)
    values = np.where(BODY, rng.uniform(least, least + 1500, BODY.shape), background)
    assert find_padding(np.moveaxis(values, 2, 0)) == []


def test_a_constant_channel_does_not_fail_the_others(impute):
    values = np.stack([ct(), np.full_like(ct(), 7)], -1)
    stack = stack_case(case_of(values[:, :, ::2]), 2, WINDOW)
    assert stack.window[1].tolist() == [7, 8]
    for method in ("pretrained", "linear"):
        imputed = impute(method, case_of(values[:, :, ::2]), count=1)
        alone = impute(method, case_of(values[:, :, ::2, 0]), count=1)
        apart = imputed.image.stored[..., 0].astype(int) - alone.image.stored
        assert np.abs(apart).max() <= 1  # some processors round two channels in another order
        assert (imputed.image.stored[..., 1] == 7).all()
    swapped = impute(
        "pretrained", case_of(values[:, :, ::2, ::-1]), count=1
    )  # the first channel guides
    assert (swapped.image.stored[..., 0] == 7).all()

"""From cases to stacks of slices and back."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slicefill.imputation.dense_grid import stack_case, to_dtype
from slicefill.params import WindowParams
from slicefill.types import Case, Volume

WHOLE = WindowParams(kind="percentile", low=0, high=100)


def volume(stored, slope=1.0, intercept=0.0):
    header = nib.Nifti1Image(stored, np.eye(4), dtype=stored.dtype).header
    header.set_slope_inter(slope, intercept)
    return Volume(stored, header)


def numbered(shape, dtype=np.int16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_come_first_then_channels(axis):
    stored = numbered((4, 5, 6, 2))
    stack = stack_case(Case(volume(stored), volume(stored[..., 0])), axis, WHOLE)
    for k in range(stored.shape[axis]):
        for channel in range(2):
            expected = stored[..., channel].take(k, axis=axis)
            assert np.array_equal(stack.image[k, channel], expected)
        assert np.array_equal(stack.label[k], stored[..., 0].take(k, axis=axis))


def test_percentile_window_is_of_each_channel():
    stored = np.random.default_rng(0).normal(size=(4, 5, 6, 2)) * [1, 100]
    stack = stack_case(Case(volume(stored)), 2, WindowParams(kind="percentile", low=5, high=90))
    expected = [np.percentile(stored[..., c].astype(np.float32), [5, 90]) for c in range(2)]
    np.testing.assert_allclose(stack.window, expected, rtol=1e-5)
    normalised = stack.normalised()
    assert normalised.min() == 0
    assert normalised.max() == 1
    assert (normalised == 0).mean() == pytest.approx(0.05, abs=0.01)
    assert (normalised == 1).mean() == pytest.approx(0.10, abs=0.01)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -1024), (0.5, 10), (-1, 100)])
def test_fixed_window_is_in_intensities_not_stored_numbers(slope, intercept):
    hu = WindowParams(kind="fixed", low=-100, high=300)
    stack = stack_case(Case(volume(numbered((4, 5, 6)), slope, intercept)), 0, hu)
    np.testing.assert_array_equal(stack.window, [[-100, 300]])
    values = slope * numbered((4, 5, 6)) + intercept
    np.testing.assert_array_equal(stack.image[:, 0], values)


def test_windows_never_touch_the_stored_numbers():
    stored = numbered((4, 5, 6))
    stack = stack_case(Case(volume(stored)), 0, WindowParams(kind="fixed", low=20, high=21))
    assert np.array_equal(stack.image[:, 0], stored)


def test_a_constant_image_has_no_window():
    flat = Case(volume(np.full((4, 5, 6), 7, np.int16)))
    with pytest.raises(ValueError, match=r"percentile 0\.\.100.*\[\[7.0, 7.0\]\].*constant"):
        stack_case(flat, 0, WHOLE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32])
@given(data=st.data())
def test_numbers_are_rounded_to_the_nearest_that_the_dtype_holds(dtype, data):
    limits = np.iinfo(dtype)
    numbers = data.draw(arrays(np.float32, 8, elements=st.floats(-1e10, 1e10, width=32)))
    rounded = to_dtype(numbers, np.dtype(dtype))
    assert rounded.dtype == dtype
    for number, result in zip(numbers.tolist(), rounded.tolist(), strict=True):
        assert result == min(max(round(number), limits.min), limits.max)


@given(arrays(np.float32, 8, elements=st.floats(width=32)))
def test_floating_point_numbers_are_kept(numbers):
    assert np.array_equal(to_dtype(numbers, np.dtype(np.float32)), numbers, equal_nan=True)

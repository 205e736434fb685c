"""Motion without weights, and the methods `dis` and `demons` that impute along it."""

from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from slicefill.imputation.methods import find_method
from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.optical_flow import blend_along, demons_flow, dis_flow, warp_slice
from slicefill.types import Stack

FLOWS = {"dis": dis_flow, "demons": partial(demons_flow, iterations=50, smoothing=1.0)}
METHODS = {"dis": {"kind": "dis"}, "demons": {"kind": "demons"}}
INSIDE = (slice(12, -12), slice(12, -12))


def texture(height=72, width=64, seed=0):
    smooth = gaussian_filter(np.random.default_rng(seed).standard_normal((height, width)), 3)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def moved(slice_, rows, columns):
    return np.roll(slice_, (rows, columns), (0, 1))


def impute(name, stack, positions, params):
    system = find_method(name, {"methods": METHODS})
    method = system.module.load(system.params, None, params)
    return method(stack, positions, np.random.default_rng(0))


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_points_where_the_texture_went(name):
    first = texture()
    flow = FLOWS[name](first, moved(first, 3, -2))
    assert flow.shape == (2, 72, 64)
    rows, columns = (np.median(part[INSIDE]) for part in flow)
    assert (rows, columns) == (pytest.approx(3, abs=0.15), pytest.approx(-2, abs=0.15))


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("shape", [(5, 7), (20, 90), (33, 31)])
def test_slices_of_any_size_have_a_flow_and_none_where_nothing_moved(name, shape):
    still = texture(*shape)
    np.testing.assert_allclose(FLOWS[name](still, still), np.zeros((2, *shape)), atol=1e-3)


def test_warping_agrees_with_scipy():
    """OpenCV rounds places to 1/32 pixel: with a slope of at most s per pixel, s / 64 per axis."""
    slice_, rng = texture(), np.random.default_rng(1)
    flow = rng.uniform(-9, 9, (2, *slice_.shape)).astype(np.float32)
    where = np.indices(slice_.shape) + flow
    expected = map_coordinates(slice_, where, order=1, mode="nearest")
    steepest = max(np.abs(np.diff(slice_, axis=axis)).max() for axis in (0, 1))
    np.testing.assert_allclose(warp_slice(slice_[None], flow)[0], expected, atol=steepest / 32)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_what_moves_evenly_is_found_on_its_way(t):
    """4 rows in all: t · 4 of them at t."""
    first = texture()
    last = moved(first, 4, 0)
    there = np.zeros((2, *first.shape), np.float32)
    there[0] = 4
    made = blend_along(first[None], last[None], (there, -there), t)[0]
    np.testing.assert_allclose(made[INSIDE], moved(first, int(4 * t), 0)[INSIDE], atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_follows_what_moves_and_linear_interpolation_does_not(name, imputation_params):
    way = [moved(texture(), 3 * n, 0) for n in range(5)]
    image = 100 * np.stack(way)[::2, None]
    stack = Stack(image, np.array([[0.0, 100.0]]))
    truth = 100 * np.stack(way)[1::2][(slice(None), *INSIDE)]
    made, linear = (
        each.image[:, 0, 0][(slice(None), *INSIDE)]
        for each in (
            impute(name, stack, [0.5], imputation_params()),
            impute_classically("linear", stack, [0.5]),
        )
    )
    assert np.abs(made - truth).mean() < 0.25 * np.abs(linear - truth).mean()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_what_is_constant_and_has_labels_matched_by_shape(name, imputation_params):
    label = np.random.default_rng(2).integers(0, 3, (4, 40, 40)).astype(np.uint8)
    stack = Stack(np.full((4, 2, 40, 40), 7, np.float32), np.tile([0.0, 10.0], (2, 1)), label)
    made = impute(name, stack, [0.25, 0.5], imputation_params())
    np.testing.assert_allclose(made.image, np.full((3, 2, 2, 40, 40), 7), rtol=1e-6)
    matched = impute_classically(
        "shape_matched", stack, [0.25, 0.5], imputation_params().label_ends
    )
    assert np.array_equal(made.label, matched.label)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_asked_for_no_slice_makes_none(name, imputation_params):
    stack = Stack(np.zeros((4, 1, 20, 20), np.float32), np.array([[0.0, 1.0]]))
    assert impute(name, stack, [], imputation_params()).image.shape == (3, 0, 1, 20, 20)


@pytest.mark.parametrize("name", METHODS)
def test_further_channels_follow_the_motion_of_the_first(name, imputation_params):
    first = texture()
    slices = np.stack([first, moved(first, 4, 0)])
    stack = Stack(np.stack([slices, 5 - 2 * slices], 1), np.tile([0.0, 1.0], (2, 1)))
    made = impute(name, stack, [0.5], imputation_params()).image[0, 0]
    np.testing.assert_allclose(made[1], 5 - 2 * made[0], atol=1e-4)

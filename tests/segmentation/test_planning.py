"""Levels: nnU-Net's rules, MONAI's constraints."""

import numpy as np
import pytest

from slicefill.segmentation.planning import fit_patch, plan_levels

SPACINGS = [
    (1, 1, 1),
    (5, 1, 1),
    (4, 1, 1),
    (2, 1, 1),
    (0.6, 3.6, 0.6),
    (10, 0.5, 0.7),
    (20, 50, 50),
]
PATCHES = [(4, 4, 4), (1, 64, 64), (7, 33, 50), (16, 96, 80), (64, 16, 16), (160, 128, 112)]


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_levels_obey_the_constraints(spacing, patch):
    levels = plan_levels(np.array(spacing), patch)
    kernels, strides = np.array(levels.kernels), np.array(levels.strides)
    assert kernels.shape == strides.shape
    assert 3 <= len(strides) <= 6
    assert set(kernels.flat) <= {1, 3}
    assert set(strides.flat) <= {1, 2}
    assert (strides[0] == 1).all()
    assert (kernels[-1] == 3).all()
    assert (np.diff(kernels, axis=0) >= 0).all()
    halved = strides.prod(0) > 1
    fitted = np.array(fit_patch(patch, levels))
    assert (fitted // strides.prod(0) >= 4)[halved].all()
    assert (fitted % strides.prod(0) == 0).all()
    assert (fitted >= patch).all()
    assert (fitted - patch < strides.prod(0)).all()


def test_levels_follow_the_axes():
    order = [2, 0, 1]
    spacing, patch = np.array([3.6, 0.6, 0.9]), (16, 96, 64)
    turned = plan_levels(spacing[order], tuple(patch[axis] for axis in order))
    for ours, theirs in zip(plan_levels(spacing, patch), turned, strict=True):
        np.testing.assert_array_equal(np.array(ours)[:, order], theirs)


@pytest.mark.parametrize("noise", [-1e-6, 1e-6])
@pytest.mark.parametrize("ratio", [2, 4])
def test_noise_of_an_affine_does_not_change_the_levels(ratio, noise):
    patch = (32, 64, 64)
    exact = plan_levels(np.array([ratio, 1, 1]), patch)
    assert plan_levels(np.array([ratio + noise, 1, 1]), patch) == exact
    assert exact.kernels[0] == (1, 3, 3)  # twice as coarse is not yet near


def test_fine_slices_are_halved_alone_until_the_plane_is_near():
    levels = plan_levels(np.array([1.0, 3.0, 3.0]), (64, 8, 8))
    # 64 → 32 alone (1 → 2 mm against 3 mm), then all three; 16 → 8 alone; 8 has not the 12 voxels
    assert levels.strides == [(1, 1, 1), (2, 1, 1), (2, 2, 2), (2, 1, 1)]
    assert levels.kernels == [(3, 1, 1), (3, 3, 3), (3, 3, 3), (3, 3, 3)]


def test_thick_slices_go_on_alone_when_the_plane_is_used_up():
    levels = plan_levels(np.array([9.0, 1.0, 1.0]), (64, 8, 8))
    assert levels.strides == [(1, 1, 1), (1, 2, 2), (2, 1, 1), (2, 1, 1), (2, 1, 1)]
    assert levels.kernels == [*[(1, 3, 3)] * 4, (3, 3, 3)]


@pytest.mark.parametrize("spacing", [(0, 1, 1), (-1, 1, 1), (np.nan, 1, 1), (np.inf, 1, 1)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match="expected 3 positive numbers in mm"):
        plan_levels(np.array(spacing), (16, 16, 16))


def test_levels_are_those_of_nnunet():
    topology = pytest.importorskip(
        "nnunetv2.experiment_planning.experiment_planners.network_topology",
        reason="nnU-Net v2 is not installed",
    )
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(300):
        spacing, patch = rng.uniform(0.4, 6, 3), tuple(rng.integers(4, 200, 3).tolist())
        _, strides, kernels, fitted, _ = topology.get_pool_and_conv_props(spacing, patch, 4, 999)
        if 3 <= len(strides) <= 6:
            levels = plan_levels(spacing, patch)
            np.testing.assert_array_equal(levels.kernels, kernels)
            np.testing.assert_array_equal(levels.strides, strides)
            np.testing.assert_array_equal(fit_patch(patch, levels), fitted)
            compared += 1
    assert compared > 100

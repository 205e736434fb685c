"""Imputation of stacks in planes, by a network of any weights and by the shipped one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.imputation.methods.reformatted import load, load_shipped
from slicefill.imputation.methods.reformatted.infer import impute_in_planes, load_plane_imputer
from slicefill.simulation.procedural import procedural_volume
from slicefill.simulation.random_fields import smooth_field
from slicefill.types import Stack

EXACT = {"hardware": {"precision": "32-true"}}


@pytest.fixture(scope="module")
def imputer(network, params, imputation_params):
    checkpoint = {"weights": network.state_dict(), "network": params().network.model_dump()}
    return load_plane_imputer(checkpoint, imputation_params(**EXACT))


def make_stack(channels=1, depth=7, scale=1.0, offset=0.0):
    field = smooth_field((depth, 30, 37), (2, 5, 5), np.random.default_rng(1))
    image = np.stack([(n + 1) * field * scale + offset for n in range(channels)], 1)
    window = np.percentile(image, [0.5, 99.5], axis=(0, 2, 3)).T
    return Stack(image.astype(np.float32), window)


def test_the_image_is_the_mean_of_sagittal_and_coronal_planes(imputer):
    stack = make_stack()
    slices = torch.from_numpy(stack.image[:, 0])

    def shown(planes):
        """Every plane between those beside it; the outermost once more beyond the edge."""
        return torch.stack([planes[[0, *range(len(planes) - 1)]], planes,
                            planes[[*range(1, len(planes)), -1]]], 1)  # fmt: skip

    with torch.no_grad():
        coronal = imputer.network(shown(slices.permute(1, 0, 2)), [0.5])  # by row
        sagittal = imputer.network(shown(slices.permute(2, 0, 1)), [0.5])  # by column
    mean = (coronal[:, :, 0].permute(1, 0, 2) + sagittal[:, :, 0].permute(1, 2, 0)) / 2
    made = impute_in_planes(imputer, stack, [0.5])
    assert made.shape == (6, 1, 1, 30, 37)
    np.testing.assert_allclose(made[:, 0, 0], mean.numpy(), atol=1e-5)


def test_planes_at_once_change_nothing(imputer):
    stack = make_stack()
    whole = impute_in_planes(imputer, stack, [0.25, 0.5])
    parts = impute_in_planes(replace(imputer, batch_pixels=1), stack, [0.25, 0.5])
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_intensities_of_another_scale_are_imputed_alike(imputer):
    plain = impute_in_planes(imputer, make_stack(), [0.5])
    scaled = impute_in_planes(imputer, make_stack(scale=300, offset=-50), [0.5])
    np.testing.assert_allclose(scaled, 300 * plain - 50, atol=0.05)


def test_every_channel_is_imputed_on_its_own(imputer):
    made = impute_in_planes(imputer, make_stack(channels=2), [0.5])
    np.testing.assert_allclose(made[:, :, 1], 2 * made[:, :, 0], atol=1e-4)


def test_no_position_no_slice(imputer):
    assert impute_in_planes(imputer, make_stack(), []).shape == (6, 0, 1, 30, 37)


def test_a_checkpoint_is_a_must(imputation_params):
    with pytest.raises(ValueError, match="expected the checkpoint of a training"):
        load(None, None, imputation_params())


def test_the_shipped_network_follows_an_outline_that_linear_interpolation_doubles(
    imputation_params,
):
    """A disk that moves six pixels from slice to slice: between, it is one disk, not two halves."""
    rows, columns = np.indices((48, 48))
    truth = np.stack([
        1 / (1 + np.exp(np.hypot(rows - 24, columns - 12 - 3 * k) - 8)) for k in range(9)
    ]).astype(np.float32)  # fmt: skip
    stack = Stack(np.ascontiguousarray(truth[::2, None]), np.array([[0.0, 1.0]]))
    planes, *_ = load_shipped(imputation_params(**EXACT))
    inner = slice(1, 3)
    made = planes.impute(stack, [0.5])[inner, 0, 0]
    linear = (stack.image[:-1, 0] + stack.image[1:, 0])[inner] / 2
    errors = [np.square(each - truth[1::2][inner]).mean() for each in (made, linear)]
    assert errors[0] < 0.5 * errors[1]


def test_the_good_image_has_a_share_of_planes_and_the_fast_one_none(make_case, imputation_params):
    case = make_case(procedural_volume(5, 48, 0.0)[::3])
    fast, good = (
        impute_case(case, load_named("pretrained", params), params)
        for params in (imputation_params(quality=each, **EXACT) for each in ("fast", "good"))
    )
    chosen = good.record["choice"]
    assert fast.record["choice"]["planes"] == 0
    shares = [chosen[name] for name in ("network", "dis", "cubic", "planes")]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert chosen["planes"] > 0
    assert fast.record["planes_sha256"] is None
    assert len(good.record["planes_sha256"]) == 64
    assert not np.array_equal(good.image.stored, fast.image.stored)
    assert np.array_equal(good.image.stored[..., ::4], fast.image.stored[..., ::4])
    assert np.array_equal(good.label.stored, fast.label.stored)

"""Imputation by super-resolution: where rows end up, what is averaged, what is refused."""

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.super_resolution.infer import (
    SuperResolutionNetwork,
    impute_by_super_resolution,
)
from slicefill.imputation.methods.super_resolution.networks import build_generator
from slicefill.types import Stack

R = 3
THIRDS = [1 / 3, 2 / 3]


class Ramps(torch.nn.Module):
    """Row k * R + r is row k plus r / 100: tells where every row of the result came from."""

    def forward(self, slices):
        offsets = (torch.arange(R) / 100).repeat(slices.shape[2])[:, None]
        return slices.repeat_interleave(R, dim=2) + offsets


class AlongPixels(torch.nn.Module):
    """Repeats rows and adds a ramp along the pixels of a slice."""

    def forward(self, slices):
        return slices.repeat_interleave(R, dim=2) + torch.arange(slices.shape[3]) / 100


@pytest.fixture
def engine(fabric):
    def make(network, channels=1, batch_pixels=1000):
        return SuperResolutionNetwork(network.eval(), channels, R, fabric, batch_pixels)

    return make


def stack(channels=1, depth=4, low=0.0, high=1.0):
    rng = np.random.default_rng(0)
    image = rng.uniform(low, high, (depth, channels, 5, 7)).astype(np.float32)
    window = np.array([[low, high]] * channels, dtype=np.float64)
    return Stack(image, window, rng.integers(0, 3, (depth, 5, 7)))


def test_row_k_r_of_the_result_stands_r_thirds_behind_acquired_slice_k(engine):
    given = stack(channels=2)
    synthetic = impute_by_super_resolution(engine(Ramps(), 2), given, THIRDS)
    np.testing.assert_allclose(synthetic.acquired, given.image, atol=1e-6)
    assert synthetic.image.shape == (3, 2, 2, 5, 7)
    for r in (1, 2):
        np.testing.assert_allclose(synthetic.image[:, r - 1], given.image[:-1] + r / 100, atol=1e-6)


def test_both_views_are_averaged_and_confidence_is_their_agreement(engine):
    given = stack()
    synthetic = impute_by_super_resolution(engine(AlongPixels()), given, THIRDS)
    h, w = np.indices((5, 7)) / 100
    np.testing.assert_allclose(synthetic.acquired, given.image + (h + w) / 2, atol=1e-6)
    confidence = np.broadcast_to(1 - np.abs(h - w), (3, 2, 5, 7))
    np.testing.assert_allclose(synthetic.confidence, confidence, atol=1e-6)


def test_no_label_is_imputed(engine):
    assert impute_by_super_resolution(engine(Ramps()), stack(), THIRDS).label is None


def test_the_result_is_in_stored_numbers_cut_off_by_the_window(engine):
    given = stack(low=-50.0, high=150.0)
    given.image[1, 0, 2, 3] = 1000
    synthetic = impute_by_super_resolution(engine(Ramps()), given, THIRDS)
    assert synthetic.acquired[1, 0, 2, 3] == pytest.approx(150)
    assert synthetic.image[1, 0, 0, 2, 3] == pytest.approx(152)
    np.testing.assert_allclose(synthetic.acquired[0], given.image[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["edsr", "rcan", "esrgan"])
def test_the_size_of_batches_does_not_matter(kind, engine, params):
    torch.manual_seed(0)
    network = build_generator(params(kind).network, 1, R)
    synthetics = [
        impute_by_super_resolution(engine(network, batch_pixels=pixels), stack(), THIRDS)
        for pixels in (1, 10_000)
    ]
    for name in ("image", "acquired", "confidence"):
        one, other = (getattr(synthetic, name) for synthetic in synthetics)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_exchanging_rows_and_columns_exchanges_those_of_the_result(engine, params):
    torch.manual_seed(0)
    of_network = engine(build_generator(params("edsr").network, 1, R))
    given = stack()
    turned = Stack(given.image.swapaxes(2, 3).copy(), given.window)
    made, of_turned = (
        impute_by_super_resolution(of_network, one, THIRDS).image for one in (given, turned)
    )
    np.testing.assert_allclose(of_turned.swapaxes(3, 4), made, atol=1e-5)


@pytest.mark.parametrize("positions", [[0.5], [], [0.25, 0.5, 0.75], [0.3, 0.7]])
def test_other_positions_than_those_trained_for_are_refused(engine, positions):
    with pytest.raises(ValueError, match=r"trained for ×3.*\[0.333, 0.667\], got .* slices to 2"):
        impute_by_super_resolution(engine(Ramps()), stack(), positions)


def test_other_channels_or_a_single_slice_are_refused(engine):
    with pytest.raises(ValueError, match="the model takes 1 channels, the image has 2"):
        impute_by_super_resolution(engine(Ramps()), stack(channels=2), THIRDS)
    with pytest.raises(ValueError, match="no interval to impute"):
        impute_by_super_resolution(engine(Ramps()), stack(depth=1), THIRDS)

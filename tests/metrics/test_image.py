"""Image metrics against other libraries and against what theory says of white noise."""

import numpy as np
import pytest
import torch
from monai.metrics import MAEMetric, PSNRMetric, SSIMMetric
from skimage.data import camera

from slicefill.metrics.image import (
    METRICS,
    ImagePair,
    alternation,
    bias,
    gradient_ratio,
    mae,
    psnr,
    ssim,
    ssim_map,
)


@pytest.fixture
def pair():
    truth = np.stack([camera()[::8, ::8], camera()[4::8, 4::8]]).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 12, truth.shape).astype(np.float32)
    return truth + noise, truth


@pytest.fixture
def noise():
    """White noise of variance 1, `(D, H, W)`, an odd number of slices."""
    return np.random.default_rng(0).normal(size=(41, 64, 64))


def everywhere(volume):
    return np.ones(volume.shape, bool)


def test_psnr_and_mae_agree_with_monai(pair):
    prediction, truth = pair
    batch = [torch.from_numpy(volume)[None, None] for volume in pair]
    assert psnr(prediction, truth, everywhere(truth), 255) == pytest.approx(
        PSNRMetric(max_val=255)(*batch).item(), abs=1e-4
    )
    assert mae(prediction, truth, everywhere(truth)) == pytest.approx(
        MAEMetric()(*batch).item(), rel=1e-5
    )


def test_ssim_agrees_with_monai_away_from_the_border(pair):
    """MONAI leaves out the 5 pixels at the border, where the window is not whole."""
    prediction, truth = pair
    inner = np.zeros(truth.shape, bool)
    inner[:, 5:-5, 5:-5] = True
    slices = [torch.from_numpy(volume)[:, None] for volume in pair]
    expected = SSIMMetric(spatial_dims=2, data_range=255.0)(*slices).mean().item()
    assert ssim(prediction, truth, inner, 255) == pytest.approx(expected, abs=1e-4)


def test_only_the_mask_counts(pair):
    prediction, truth = pair
    mask = np.zeros(truth.shape, bool)
    mask[:, 20:30, 20:30] = True
    spoiled = np.where(mask, prediction, 1e4)
    for measure in (mae, bias):
        assert measure(spoiled, truth, mask) == measure(prediction, truth, mask)
    assert psnr(spoiled, truth, mask, 255) == psnr(prediction, truth, mask, 255)


def test_slices_do_not_influence_each_other(pair):
    prediction, truth = pair
    both = ssim_map(prediction, truth, 255)
    np.testing.assert_allclose(both[:1], ssim_map(prediction[:1], truth[:1], 255), atol=1e-6)


def test_where_zero_lies_changes_no_score(pair):
    """Tissue of CT lies around 0 HU, where the luminance term of SSIM would see no brightness."""
    prediction, truth = (one[:1].astype(np.float32) for one in pair)
    masks = {"": everywhere(truth)}

    def similarity(zero):
        moved = prediction + zero, truth + zero
        return ImagePair(*moved, np.array([True]), float(moved[1].min()), 255.0, masks).similarity

    for zero in (-1000, -100, 32768):
        np.testing.assert_allclose(similarity(zero), similarity(0), atol=2e-4)


def test_bias_has_the_sign_of_the_prediction(pair):
    _, truth = pair
    assert bias(truth + 3, truth, everywhere(truth)) == pytest.approx(3)
    assert bias(truth - 3, truth, everywhere(truth)) == pytest.approx(-3)


def test_perfect_prediction(pair):
    _, truth = pair
    assert psnr(truth, truth, everywhere(truth), 255) == float("inf")
    assert ssim(truth, truth, everywhere(truth), 255) == pytest.approx(1)
    assert gradient_ratio(truth, truth, everywhere(truth)) == 1


def test_empty_mask_measures_nothing(pair):
    nothing = np.zeros(pair[0].shape, bool)
    assert np.isnan(psnr(*pair, nothing, 255))
    assert np.isnan(ssim(*pair, nothing, 255))
    assert np.isnan(mae(*pair, nothing))
    assert np.isnan(bias(*pair, nothing))
    assert np.isnan(gradient_ratio(*pair, nothing))
    assert np.isnan(alternation(pair[0], np.array([True, False]), nothing))


def imputed(noise, between):
    """Replace every second slice by a function of its neighbours."""
    volume = noise.copy()
    volume[1::2] = between(noise[:-2:2], noise[2::2])
    return volume


def test_gradient_ratio_of_white_noise_is_as_theory_says(noise):
    """Steps of variance 2 become two halves of variance 1/2 each, or 0 and 2 when copied."""
    linear = imputed(noise, lambda first, second: (first + second) / 2)
    copied = imputed(noise, lambda first, _: first)
    assert gradient_ratio(linear, noise, everywhere(noise)) == pytest.approx(0.25, rel=0.02)
    assert gradient_ratio(copied, noise, everywhere(noise)) == pytest.approx(0.5, rel=0.02)


def test_gradient_ratio_leaves_out_steps_across_the_edge_of_the_mask(noise):
    mask = everywhere(noise)
    mask[20] = False
    spoiled = noise.copy()
    spoiled[20] = 1e3
    assert gradient_ratio(spoiled, noise, mask) == 1


def test_alternation_of_white_noise_is_as_theory_says(noise):
    """The mean of two slices has half the variance; a copy has all of it."""
    synthetic = np.arange(len(noise)) % 2 == 1
    linear = imputed(noise, lambda first, second: (first + second) / 2)
    copied = imputed(noise, lambda first, _: first)
    assert alternation(linear, synthetic, everywhere(noise)) == pytest.approx(0.5, rel=0.02)
    assert alternation(copied, synthetic, everywhere(noise)) == pytest.approx(1, rel=0.02)


def test_gradient_ratio_tells_the_directions_apart():
    """A volume that varies along one axis alone, at half the amplitude, along each in turn."""
    for axis in range(3):
        grid = np.indices((4, 5, 6))[axis] % 2.0
        assert gradient_ratio(grid / 2, grid, everywhere(grid), axis) == 0.25
        for other in {0, 1, 2} - {axis}:
            assert np.isnan(gradient_ratio(grid / 2, grid, everywhere(grid), other))


def test_smoothness_within_slices_is_that_of_synthetic_ones_alone():
    """Acquired slices are as they were, synthetic ones lost half of what varies along rows."""
    real = np.broadcast_to(np.arange(6) % 2.0, (3, 5, 6)).copy()
    made = real * np.array([1, 0.5, 1])[:, None, None]
    synthetic = np.array([False, True, False])
    pair = ImagePair(made, real, synthetic, 0.0, 1.0, {"": everywhere(real)})
    measure = {metric.name: metric.compute for metric in METRICS}
    assert measure["row_gradient_ratio"](pair, everywhere(real)) == 0.25
    assert np.isnan(measure["column_gradient_ratio"](pair, everywhere(real)))

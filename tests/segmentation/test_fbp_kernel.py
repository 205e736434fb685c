"""Another CT kernel: energy of high frequencies up and down, contrast kept, one draw per patch."""

import numpy as np
import pytest
import torch

from slicefill.segmentation.transforms import make_all
from slicefill.segmentation.transforms.fbp_kernel import change_kernel, draw_kernel


def disc(noise=0.011):
    rows, columns = np.indices((64, 64)) - 31.5
    flat = np.where(rows**2 + columns**2 < 24**2, 0.6, 0.1)
    return flat + np.random.default_rng(0).normal(0, noise, flat.shape)


def noise_of(image):
    return image[22:42, 22:42].std()


def test_no_gain_is_the_identity():
    assert change_kernel(disc(), 0.0, 1.0) == pytest.approx(disc(), abs=1e-9)


@pytest.mark.parametrize(("gain", "power"), [(30.0, 3.0), (15.0, 1.5), (25.0, 2.0)])
def test_a_gain_sharpens_and_keeps_contrast(gain, power):
    changed = change_kernel(disc(), gain, power)
    assert noise_of(changed) > 3 * noise_of(disc())
    assert changed[22:42, 22:42].mean() == pytest.approx(0.6, abs=0.04)


def test_a_loss_smooths_and_keeps_contrast():
    changed = change_kernel(disc(), -1.0, 0.7)
    assert noise_of(changed) < 0.5 * noise_of(disc())
    assert changed[22:42, 22:42].mean() == pytest.approx(0.6, abs=0.06)


def gains(gain, power, bands):
    """Measured and expected amplitude in bands of radial frequency, of white noise in a window."""
    window = np.outer(np.hanning(64), np.hanning(64))
    radius = 2 * np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    noise = np.random.default_rng(0).normal(size=(8, 128, 128))
    changed = change_kernel(noise, gain, power)
    before, after = (
        np.square(np.abs(np.fft.fft2(window * images[:, 32:96, 32:96]))).mean(0)
        for images in (noise, changed)
    )
    for low, high in bands:
        band = (radius >= low) & (radius < high)
        expected = np.square(1 + gain * radius[band] ** power).mean() ** 0.5
        yield (after[band].sum() / before[band].sum()) ** 0.5, expected


@pytest.mark.parametrize(("gain", "power"), [(-1.0, 0.7), (-0.5, 0.5), (-0.9, 1.0), (20.0, 2.0)])
def test_every_frequency_is_changed_as_the_ramp_is(gain, power):
    bands = [(0.15, 0.3), (0.3, 0.45), (0.45, 0.6), (0.6, 0.75), (0.75, 0.9)]
    for measured, expected in gains(gain, power, bands):
        assert measured == pytest.approx(expected, rel=0.05)


def test_an_offset_does_not_matter():
    shifted = change_kernel(disc() + 1000, 15.0, 2.0) - 1000
    assert shifted == pytest.approx(change_kernel(disc(), 15.0, 2.0), abs=1e-6)


def test_corners_are_no_kernels():
    drawn = [draw_kernel(np.random.RandomState(seed)) for seed in range(300)]
    assert all(power >= 2 for gain, power in drawn if gain > 20)
    assert all(power >= 0.3 for gain, power in drawn if gain < -0.5)
    assert 0.35 < np.mean([gain > 0 for gain, _ in drawn]) < 0.65


def test_all_slices_of_a_patch_get_one_kernel_and_the_label_stays():
    (transform,) = make_all([{"kind": "fbp_kernel", "probability": 1.0}])
    transform.set_random_state(0)
    image = torch.from_numpy(disc()).float().expand(1, 3, 64, 64)
    truth = torch.ones(2, 3, 64, 64)
    changed = transform({"image": image, "truth": truth})
    assert changed["truth"] is truth
    assert changed["image"].dtype == torch.float32
    assert (changed["image"] != image).any()
    assert torch.equal(changed["image"][0, 0], changed["image"][0, 2])

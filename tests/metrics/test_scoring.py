"""Scores of one case: known errors, every axis, protocol."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.metrics.real_channels import body_mask, real_channels
from slicefill.metrics.scoring import Correspondence, score_imputed_case
from slicefill.types import Case, Volume

SPACING = (1.0, 0.8, 0.5)  # across slices, rows, columns
DEPTH, FACTOR = 13, 4


def volume(array, axis=0, slope=1.0):
    """Slices first in, with the slice axis moved to `axis` and mm pitches to match."""
    stored = np.moveaxis(array, 0, axis)
    pitch = np.insert(SPACING[1:], axis, SPACING[0])
    header = nib.Nifti1Header()
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_sform(np.diag([*pitch, 1]), 2)
    header.set_slope_inter(slope, 0)
    return Volume(stored, header)


def case(image, label=None, axis=0, slope=1.0):
    return Case(volume(image, axis, slope), None if label is None else volume(label, axis))


def every(axis=0, depth=DEPTH, factor=FACTOR):
    """All slices correspond; every `factor`-th was acquired."""
    slices = np.arange(depth)
    return Correspondence(axis, slices, slices, slices % factor > 0)


@pytest.fixture
def image():
    """A bright smooth body with a dark field around it."""
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(DEPTH, 24, 20)), 1)
    inside = np.zeros_like(texture)
    inside[:, 5:19, 4:16] = 1
    return (inside * (600 + 400 * texture)).astype(np.float32)


@pytest.fixture
def label():
    ids = np.zeros((DEPTH, 24, 20), np.uint8)
    ids[:, 6:18, 5:15] = 2
    ids[:, 8:12, 8:12] = 1
    return ids


def shifted(image, by):
    """Synthetic slices off by a constant, acquired ones copied."""
    return np.where((np.arange(DEPTH) % FACTOR > 0)[:, None, None], image + by, image)


def test_perfect_imputation(image, label, params):
    truth = case(image, label)
    scores = score_imputed_case(truth, truth, every(), params)
    for key in ("mae_body", "mae_field", "bias_body", "volume_bias_mean", "assd_mean"):
        assert scores[key] == 0
    for key in ("ssim_body", "ssim_field", "ssim_all_slices", "gradient_ratio", "dice_core"):
        assert scores[key] == pytest.approx(1)
    assert scores["psnr_body"] == float("inf")
    assert scores["slices"] == 9


def test_constant_error_is_found_as_such(image, params):
    scores = score_imputed_case(case(shifted(image, -10)), case(image), every(), params)
    data_range = np.percentile(image, 99.9) - image.min()
    assert scores["mae_body"] == pytest.approx(10, rel=1e-4)
    assert scores["mae_field"] == pytest.approx(10, rel=1e-4)
    assert scores["bias_body"] == pytest.approx(-10, rel=1e-4)
    assert scores["psnr_field"] == pytest.approx(20 * np.log10(data_range / 10), abs=1e-3)


def test_counting_copied_slices_inflates_psnr_by_their_share(image, params):
    scores = score_imputed_case(case(shifted(image, 10)), case(image), every(), params)
    inflation = scores["psnr_all_slices"] - scores["psnr_field"]
    assert inflation == pytest.approx(10 * np.log10(13 / 9), abs=1e-3)
    assert scores["ssim_all_slices"] > scores["ssim_field"]


def test_errors_in_the_dark_field_do_not_reach_the_body(image, params):
    spoiled = image.copy()
    spoiled[:, :, -2:] += 100
    scores = score_imputed_case(case(spoiled), case(image), every(), params)
    assert scores["mae_body"] == 0
    assert scores["mae_field"] == pytest.approx(10)  # 2 of 20 columns


@pytest.mark.parametrize("value", [-2000, -3024, -8192, -32768])
def test_padding_is_neither_body_nor_range(params, value):
    """A CT slice whose corners hold padding scores as the part of it that was scanned."""
    rng = np.random.default_rng(0)
    scanned = rng.normal(-1000, 15, (DEPTH, 40, 40)).clip(-1024)
    scanned[:, 12:28, 12:28] = rng.normal(40, 20, (DEPTH, 16, 16))
    scanned[:, 18:21, 18:21] = 1200
    bare, padded = case(np.rint(scanned).astype(np.int16)), np.rint(scanned).astype(np.int16)
    padded[:, :8] = padded[:, -8:] = value
    padded[:, 18, 13] = value  # a pocket within the body
    truth, mask = case(padded), padded == value
    spoiled = np.where(mask, padded, padded + np.int16(10))
    expected = score_imputed_case(case(bare.image.stored + np.int16(10)), bare, every(), params)
    scores = score_imputed_case(case(spoiled), truth, every(), params)
    for name in ("mae_body", "mae_field", "bias_body"):
        assert scores[name] == pytest.approx(10)
    assert scores["psnr_body"] == pytest.approx(expected["psnr_body"], abs=0.01)
    assert scores["psnr_field"] == pytest.approx(expected["psnr_field"], abs=0.01)
    body = body_mask(truth.image.intensities(), np.arange(DEPTH), params.body_quantile)
    whole = body_mask(bare.image.intensities(), np.arange(DEPTH), params.body_quantile)
    assert np.array_equal(body, whole & ~mask)
    lost = np.where(mask, np.int16(0), spoiled)  # where nothing was scanned, nothing is scored
    assert score_imputed_case(case(lost), truth, every(), params) == pytest.approx(scores)


def test_however_wide_padding_is_the_range_is_that_of_what_was_scanned(params):
    """Few bright voxels: a percentile over padding, too, would miss them."""
    scanned = np.random.default_rng(0).uniform(-1000, 300, (DEPTH, 24, 20))
    scanned[:, 10:13, 10:13] = np.linspace(500, 3000, 9).reshape(3, 3)
    padded = np.pad(scanned, ((0, 0), (40, 40), (40, 40)), constant_values=-3024)
    (bare,), (wide,) = (
        real_channels(case(each), 0, params.body_quantile) for each in (scanned, padded)
    )
    assert wide.outside.mean() > 0.9
    assert (wide.low, wide.data_range) == pytest.approx((bare.low, bare.data_range))
    assert wide.body.sum() == bare.body.sum()


def test_a_background_of_zero_is_no_padding(params):
    """A homogeneous body in a mask: its darkest voxels are body, too."""
    image = np.zeros((DEPTH, 24, 20), np.float32)
    image[:, 5:19, 4:16] = np.random.default_rng(0).uniform(900, 1000, (DEPTH, 14, 12))
    body = body_mask(image, np.arange(DEPTH), params.body_quantile)
    assert np.array_equal(body, image > 0)


def test_holes_of_the_body_belong_to_it(image, params):
    hollow = image.copy()
    hollow[:, 10:13, 8:11] = 0
    spoiled = hollow.copy()
    spoiled[:, 11, 9] = 50
    assert score_imputed_case(case(spoiled), case(hollow), every(), params)["mae_body"] > 0


@pytest.mark.parametrize("axis", [1, 2])
def test_any_slice_axis_scores_the_same(image, label, params, axis):
    worse = np.roll(label, 1, axis=1)
    expected = score_imputed_case(case(image + 5, worse), case(image, label), every(), params)
    moved = score_imputed_case(
        case(image + 5, worse, axis), case(image, label, axis), every(axis), params
    )
    assert moved == pytest.approx(expected, rel=1e-5)


def test_scores_are_in_intensities_not_stored_numbers(image, params):
    whole = np.rint(image).astype(np.int16)
    truth, imputed = case(whole, slope=0.5), case(whole + np.int16(10), slope=0.5)
    scores = score_imputed_case(imputed, truth, every(), params)
    assert scores["mae_field"] == pytest.approx(5)


def test_channels_are_averaged_each_on_its_own_scale(image, params):
    noisy = image + np.random.default_rng(1).normal(0, 20, image.shape).astype(np.float32)
    first = score_imputed_case(case(noisy), case(image), every(), params)
    second = score_imputed_case(case(image * 3 + 30), case(image * 3), every(), params)
    both = score_imputed_case(
        case(np.stack([noisy, image * 3 + 30], axis=-1)),
        case(np.stack([image, image * 3], axis=-1)),
        every(),
        params,
    )
    assert both == pytest.approx({key: (first[key] + second[key]) / 2 for key in first}, rel=1e-5)


def test_labels_are_scored_by_name_on_synthetic_slices(image, label, params):
    grown = label.copy()
    synthetic = np.arange(DEPTH) % FACTOR > 0
    grown[synthetic, 8:12, 12:14] = 1  # core 16 → 24 pixels, taken from the rim's 104
    scores = score_imputed_case(case(image, grown), case(image, label), every(), params)
    assert scores["volume_bias_core"] == pytest.approx(0.5)
    assert scores["dice_core"] == pytest.approx(2 * 16 / (16 + 24))
    assert scores["volume_bias_rim"] == pytest.approx(-8 / 104)
    assert scores["volume_bias_mean"] == pytest.approx((0.5 - 8 / 104) / 2)
    assert scores["volume_bias_abs_mean"] == pytest.approx((0.5 + 8 / 104) / 2)
    assert not any("background" in key for key in scores)


def test_surface_distance_is_in_mm_of_the_slices_compared(image, params):
    """One pixel at slice 0 of the truth, at slice 8 of the imputation: 8 slices of 1 mm apart."""
    here, there = np.zeros((2, *image.shape), np.uint8)
    here[0, 3, 3] = there[8, 3, 3] = 1
    other = np.arange(0, DEPTH, 2)
    slices = Correspondence(0, other, other, other % FACTOR > 0)
    dot = params.model_copy(update={"label_names": {1: "dot"}})
    scores = score_imputed_case(case(image, there), case(image, here), slices, dot)
    assert scores["assd_dot"] == pytest.approx(8)


def test_a_label_that_is_nowhere_is_left_out_of_the_mean(image, label, params):
    named = params.model_copy(update={"label_names": {1: "core", 2: "rim", 3: "absent"}})
    truth = case(image, label)
    scores = score_imputed_case(truth, truth, every(), named)
    assert np.isnan(scores["dice_absent"])
    assert scores["dice_mean"] == 1


def test_slices_may_be_numbered_differently(image, params):
    """Output slice i shows truth slice i + 2, as where the anisotropic volume started later."""
    shown = np.arange(9)
    later = Correspondence(0, shown, shown + 2, shown % FACTOR > 0)
    scores = score_imputed_case(case(image[2:11] + 7), case(image), later, params)
    assert scores["mae_field"] == pytest.approx(7, rel=1e-4)


def test_without_labels_there_are_no_label_scores(image, label, params):
    for imputed, truth in ((case(image), case(image, label)), (case(image, label), case(image))):
        scores = score_imputed_case(imputed, truth, every(), params)
        assert not any(key.startswith(("dice", "volume", "assd")) for key in scores)


def test_what_cannot_be_scored_is_refused(image, params):
    flat = np.full_like(image, 7)
    with pytest.raises(ValueError, match="no scale"):
        score_imputed_case(case(flat), case(flat), every(), params)
    with pytest.raises(ValueError, match="imputed slices are"):
        score_imputed_case(case(image[:, :-1]), case(image), every(), params)
    uneven = np.array([0, 1, 3, 4])
    with pytest.raises(ValueError, match="evenly spaced"):
        Correspondence(0, uneven, uneven, uneven % FACTOR > 0)

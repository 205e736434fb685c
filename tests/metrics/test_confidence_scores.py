from dataclasses import replace

import numpy as np
import pytest

from slicefill.metrics.confidence import (
    ConfidenceErrors,
    confidence_errors,
    confidence_scores,
    slice_confidence,
)
from slicefill.metrics.real_channels import body_mask
from slicefill.metrics.scoring import Correspondence
from slicefill.types import Case

SLICES = Correspondence(2, np.arange(5), np.arange(5), np.arange(5) % 2 > 0)


def body(truth):
    return body_mask(truth.image.intensities().transpose(2, 0, 1), np.array([1, 3]), 0.1)


@pytest.fixture
def pair(volume):
    """Truth 50, at one place 0; imputed 60, and 55 on slice 3; the window is 0 … 100."""
    real = np.full((6, 6, 5), 50, np.int16)
    real[0] = 0
    made = np.full_like(real, 60)
    made[..., 3] = 55
    confidence = np.full(real.shape, 800, np.uint16)
    confidence[..., 3] = 950
    maps = {"confidence": volume(confidence, scale=(1e-3, 0))}
    record = {"window_shown": [[0.0, 100.0]]}
    return Case(volume(made), maps=maps, record=record), Case(volume(real))


def test_errors_are_shares_of_the_window_in_the_body_of_synthetic_slices(pair):
    known = confidence_errors(*pair, SLICES, body(pair[1]))
    assert len(known.error) == 2 * 5 * 6
    for place, error, confidence in ((1, 0.1, 0.8), (3, 0.05, 0.95)):
        np.testing.assert_allclose(known.error[known.place == place], error)
        np.testing.assert_allclose(known.confidence[known.place == place], confidence)


def test_what_the_window_does_not_show_is_no_error(pair):
    imputed, truth = pair
    narrow = replace(imputed, record={"window_shown": [[0.0, 40.0]]})
    assert not confidence_errors(narrow, truth, SLICES, body(truth)).error.any()


def test_the_scale_of_the_file_does_not_matter(pair, volume):
    imputed, truth = pair
    shown = {"window_shown": [[-193.0, 7.0]]}  # of 0 to 100 as stored
    scaled = replace(imputed, image=volume(imputed.image.stored, scale=(-2, 7)), record=shown)
    other = Case(volume(truth.image.stored, scale=(-2, 7)))
    known = confidence_errors(scaled, other, SLICES, np.ones((2, 6, 6), bool))
    np.testing.assert_allclose(known.error[known.place == 3].min(), 0.05, rtol=1e-5)


def test_channels_are_averaged(pair, volume):
    imputed, truth = pair
    both = np.stack([truth.image.stored, truth.image.stored], -1)
    made = np.stack([imputed.image.stored, truth.image.stored], -1)
    record = {"window_shown": [[0.0, 100.0]] * 2}
    known = confidence_errors(
        replace(imputed, image=volume(made), record=record), Case(volume(both)), SLICES, body(truth)
    )
    np.testing.assert_allclose(known.error[known.place == 1], 0.05)


def test_scores_of_confidence_are_what_one_reckons():
    confidence, error = np.array([0.9, 0.8, 0.6, 0.5]), np.array([0.1, 0.2, 0.4, 0.5])
    scores = confidence_scores(ConfidenceErrors(confidence, error, np.zeros(4)))
    assert scores["confidence_rank"] == pytest.approx(1)
    assert scores["confidence_bias"] == pytest.approx(0)
    reverse = confidence_scores(ConfidenceErrors(confidence, error[::-1] / 2, np.zeros(4)))
    assert reverse["confidence_rank"] == pytest.approx(-1)
    assert reverse["confidence_bias"] == pytest.approx(0.7 - 0.85)
    assert reverse["aurc"] > 0.15


@pytest.mark.parametrize("count", [0, 3])
def test_what_cannot_be_ranked_is_nan(count):
    scores = confidence_scores(
        ConfidenceErrors(np.ones(count), np.arange(count) / 9, np.zeros(count))
    )
    assert np.isnan(scores["confidence_rank"])


def test_slices_that_were_not_removed_have_no_error():
    record = {
        "confidence": "expected_error",
        "slices": [
            {"index": 1, "confidence": 0.9, "abstained": 0.1},
            {"index": 2, "confidence": None},
        ],
    }
    table = slice_confidence(record, ConfidenceErrors(np.ones(1), np.ones(1), np.array([2])))
    assert table["error"].isna().tolist() == [True, False]
    assert table["confidence"].isna().tolist() == [False, True]
    assert slice_confidence(record, None)["error"].isna().all()

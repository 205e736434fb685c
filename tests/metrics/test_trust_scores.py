from dataclasses import replace

import numpy as np
import pytest

from slicefill.metrics.scoring import Scored
from slicefill.metrics.trust import (
    TrustedErrors,
    slice_trust,
    trust_scores,
    trusted_errors,
)
from slicefill.types import Case

SCORED = Scored(
    axis=2,
    filled_index=np.array([1, 3]),
    truth_index=np.array([1, 3]),
    acquired_filled=np.array([0, 2, 4]),
    acquired_truth=np.array([0, 2, 4]),
    names={},
)


@pytest.fixture
def pair(volume):
    """Truth 50, at one place 0; filled 60, and 55 on slice 3; the window is 0 … 100."""
    real = np.full((6, 6, 5), 50, np.int16)
    real[0] = 0
    made = np.full_like(real, 60)
    made[..., 3] = 55
    trust = np.full(real.shape, 800, np.uint16)
    trust[..., 3] = 950
    maps = {"trust": volume(trust, scale=(1e-3, 0))}
    record = {"window_stored": [[0.0, 100.0]]}
    return Case(volume(made), maps=maps, record=record), Case(volume(real))


def test_errors_are_shares_of_the_window_in_the_body_of_synthetic_slices(pair):
    known = trusted_errors(*pair, SCORED, 0.1)
    assert len(known.error) == 2 * 5 * 6
    for place, error, trust in ((1, 0.1, 0.8), (3, 0.05, 0.95)):
        np.testing.assert_allclose(known.error[known.place == place], error)
        np.testing.assert_allclose(known.trust[known.place == place], trust)


def test_what_the_window_does_not_show_is_no_error(pair):
    filled, truth = pair
    narrow = replace(filled, record={"window_stored": [[0.0, 40.0]]})
    assert not trusted_errors(narrow, truth, SCORED, 0.1).error.any()


def test_the_scale_of_the_file_does_not_matter(pair, volume):
    filled, truth = pair
    scaled = replace(filled, image=volume(filled.image.stored, scale=(-2, 7)))
    other = Case(volume(truth.image.stored, scale=(-2, 7)))
    known = trusted_errors(scaled, other, SCORED, -1)  # the body is all: brightness is reversed
    np.testing.assert_allclose(known.error[known.place == 3].min(), 0.05, rtol=1e-5)


def test_channels_are_averaged(pair, volume):
    filled, truth = pair
    both = np.stack([truth.image.stored, truth.image.stored], -1)
    made = np.stack([filled.image.stored, truth.image.stored], -1)
    record = {"window_stored": [[0.0, 100.0]] * 2}
    known = trusted_errors(
        replace(filled, image=volume(made), record=record), Case(volume(both)), SCORED, 0.1
    )
    np.testing.assert_allclose(known.error[known.place == 1], 0.05)


def test_scores_of_trust_are_what_one_reckons():
    trust, error = np.array([0.9, 0.8, 0.6, 0.5]), np.array([0.1, 0.2, 0.4, 0.5])
    scores = trust_scores(TrustedErrors(trust, error, np.zeros(4)))
    assert scores["trust_rank"] == pytest.approx(1)
    assert scores["trust_bias"] == pytest.approx(0)
    reverse = trust_scores(TrustedErrors(trust, error[::-1] / 2, np.zeros(4)))
    assert reverse["trust_rank"] == pytest.approx(-1)
    assert reverse["trust_bias"] == pytest.approx(0.7 - 0.85)
    assert reverse["risk_area"] > 0.15


@pytest.mark.parametrize("count", [0, 3])
def test_what_cannot_be_ranked_is_nan(count):
    scores = trust_scores(TrustedErrors(np.ones(count), np.arange(count) / 9, np.zeros(count)))
    assert np.isnan(scores["trust_rank"])


def test_slices_that_were_not_removed_have_no_error():
    record = {
        "trust": "expected_error",
        "slices": [{"index": 1, "trust": 0.9, "abstained": 0.1}, {"index": 2, "trust": None}],
    }
    table = slice_trust(record, TrustedErrors(np.ones(1), np.ones(1), np.array([2])))
    assert table["error"].isna().tolist() == [True, False]
    assert table["trust"].isna().tolist() == [False, True]
    assert slice_trust(record, None)["error"].isna().all()

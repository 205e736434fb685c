import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicefill.metrics.risk import COVERAGES, aurc, risk_at, risk_curves

errors = st.lists(st.floats(0, 1), min_size=2, max_size=40).map(np.array)


def test_risk_is_the_mean_error_of_those_kept():
    confidence, error = np.array([0.9, 0.1, 0.5, 0.7]), np.array([0.0, 0.8, 0.4, 0.2])
    risk = risk_at(np.array([0.25, 0.5, 0.75, 1.0]), confidence, error)
    np.testing.assert_allclose(risk, [0.0, 0.1, 0.2, 0.35])


@given(errors, st.randoms(use_true_random=False))
def test_distinct_confidences_are_sorted_as_by_hand(error, random):
    confidence = np.array(random.sample(range(1000), len(error)))
    kept = error[np.argsort(-confidence)]
    counts = np.arange(1, len(error) + 1)
    expected = [kept[:n].mean() for n in counts]
    np.testing.assert_allclose(risk_at(counts / len(error), confidence, error), expected, atol=1e-9)


@given(errors)
def test_equal_confidence_is_chance_and_the_oracle_is_never_beaten(error):
    rng = np.random.default_rng(len(error))
    mean = error.mean()
    np.testing.assert_allclose(risk_at(COVERAGES, np.ones(len(error)), error), mean, atol=1e-9)
    curve = risk_curves(rng.permutation(len(error)), error)
    assert (curve["oracle"] <= curve["risk"] + 1e-9).all()
    assert (curve["oracle"] <= curve["random"] + 1e-9).all()
    np.testing.assert_allclose(curve.iloc[-1][["risk", "oracle", "random"]], mean, atol=1e-9)


def test_the_order_of_confidence_alone_counts():
    rng = np.random.default_rng(0)
    confidence, error = rng.random(50), rng.random(50)
    np.testing.assert_allclose(
        risk_at(COVERAGES, confidence, error), risk_at(COVERAGES, confidence**3 - 5, error)
    )


def test_the_area_is_the_mean_of_a_straight_curve():
    assert aurc(np.linspace(0.1, 0.5, 20)) == pytest.approx(0.3)

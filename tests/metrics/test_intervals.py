"""Intervals over subjects and trainings: what is one method twice, and what is another one."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from slicefill.metrics.intervals import (
    SUBJECTS,
    SUBJECTS_AND_TRAININGS,
    estimate_crossed,
    interval_over_subjects,
    signed_rank_p,
)
from slicefill.metrics.statistics import average_seeds, compare_methods, summarise_scores

SUBJECT, TRAINING, REST = 0.05, 0.003, 0.006  # standard deviations of Dice, as on hippocampus ×4
REPETITIONS = 40


def trained(rng, trainings, subjects=41, gain=0.0, sd=TRAINING):
    """Scores of two methods, the second better by the gain: `case`, `subject`, `method`, `seed`."""
    difficulty = rng.normal(0.8, SUBJECT, subjects)
    rows = []
    for method, mean in (("one", 0.0), ("other", gain)):
        shape = (trainings, subjects)
        runs = difficulty + mean + rng.normal(0, sd, (trainings, 1)) + rng.normal(0, REST, shape)
        rows += [
            {"case": f"c{i}", "subject": f"p{i}", "method": method, "seed": seed, "dice_mean": dice}
            for seed, run in enumerate(runs)
            for i, dice in enumerate(run)
        ]
    return pd.DataFrame(rows)


def compared(scores, params):
    return compare_methods(scores, ["one"], params).iloc[0]


@pytest.fixture
def fast(params):
    return params.model_copy(update={"bootstrap_samples": 200})


@pytest.mark.slow
@pytest.mark.parametrize("trainings", [2, 3, 5])
def test_seeds_of_one_method_do_not_differ_in_nine_of_ten_repetitions(trainings, fast):
    """A bootstrap over subjects alone, or a signed-rank test, takes training noise for a gain."""
    rng = np.random.default_rng(trainings)
    quiet = {"crossed": 0, "interval": 0, "subjects alone": 0, "signed ranks": 0}
    for _ in range(REPETITIONS):
        scores = trained(rng, trainings)
        row, averaged = compared(scores, fast), average_seeds(scores)
        gains = averaged.pivot(index="subject", columns="method", values="dice_mean")
        gains = (gains["other"] - gains["one"]).to_numpy()
        low, high = interval_over_subjects(gains, fast)
        quiet["crossed"] += row["p"] >= 0.05
        quiet["interval"] += row["ci_low"] <= 0 <= row["ci_high"]
        quiet["subjects alone"] += low <= 0 <= high
        quiet["signed ranks"] += signed_rank_p(gains) >= 0.05
    assert quiet["crossed"] == quiet["interval"] >= 0.9 * REPETITIONS
    assert quiet["subjects alone"] < 0.7 * REPETITIONS
    assert quiet["signed ranks"] < 0.7 * REPETITIONS


@pytest.mark.slow
def test_a_gain_beyond_the_noise_of_training_is_found(fast):
    rng = np.random.default_rng(0)
    found = [compared(trained(rng, 5, gain=0.015), fast)["p"] < 0.05 for _ in range(15)]
    assert np.mean(found) > 0.9


def test_one_training_of_each_tells_networks_apart_and_not_methods(fast):
    """There is no p: the noise of a training is unknown."""
    row = compared(trained(np.random.default_rng(0), 1), fast)
    assert (row["noise"], row["trainings"]) == (SUBJECTS, 1)
    assert np.isnan([row["p"], row["p_holm"]]).all()
    assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_every_interval_says_what_it_contains(fast):
    scores = trained(np.random.default_rng(0), 3)
    assert compared(scores, fast)["noise"] == SUBJECTS_AND_TRAININGS
    assert compared(average_seeds(scores), fast)["noise"] == SUBJECTS
    summary = summarise_scores(scores, fast)
    assert set(summary["noise"]) == {SUBJECTS_AND_TRAININGS}
    assert set(summary["trainings"]) == {3}
    once = summarise_scores(scores.query("seed == 0"), fast)
    assert set(once["noise"]) == {SUBJECTS}


def test_the_interval_of_one_mean_is_the_t_interval_where_subjects_are_alike(params):
    """Then only trainings vary: Student's t of three values."""
    means = np.array([0.70, 0.73, 0.75])
    found = estimate_crossed([means[:, None] + np.zeros((3, 50))], params)
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert found.value == pytest.approx(means.mean())
    assert found.low == pytest.approx(expected.low, abs=0.004)
    assert found.high == pytest.approx(expected.high, abs=0.004)


def test_more_noise_of_training_makes_the_interval_wider_and_that_of_subjects_not(fast):
    def width(sd, scores=None):
        scores = trained(np.random.default_rng(3), 3, sd=sd)
        both = (scores, average_seeds(scores))
        return [row["ci_high"] - row["ci_low"] for row in (compared(s, fast) for s in both)]

    (crossed, alone), (wider, same) = width(0.003), width(0.03)
    assert wider > 5 * crossed
    assert same == pytest.approx(alone)


def test_a_training_without_a_score_of_a_subject_counts_with_the_others(fast):
    scores = trained(np.random.default_rng(0), 3)
    scores.loc[(scores["seed"] == 1) & (scores["subject"] == "p7"), "dice_mean"] = np.nan
    row = compared(scores, fast)
    assert (row["n"], row["trainings"]) == (41, 3)
    assert np.isfinite(row["p"])


def test_methods_without_any_noise(params):
    same = np.full((2, 6), 0.5)
    found = estimate_crossed([same, same], params)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    found = estimate_crossed([same + 0.1, same], params)
    assert found.p == 0
    assert found.low == found.high == pytest.approx(0.1)


@pytest.mark.parametrize("subjects", [2, 3, 5])
def test_intervals_of_few_subjects_hold_the_mean_as_often_as_they_say(subjects, fast):
    """A bootstrap of two holds it in half of the repetitions."""
    values = np.random.default_rng(subjects).normal(size=(200, subjects))
    intervals = np.array([interval_over_subjects(each, fast) for each in values])
    held = (intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)
    assert held.mean() >= 0.92
    reach = stats.t.ppf(0.975, subjects - 1) * values[0].std(ddof=1) / np.sqrt(subjects)
    assert intervals[0] == pytest.approx([values[0].mean() - reach, values[0].mean() + reach])


@pytest.mark.parametrize("shape", [(1, 6), (3, 1)])
def test_tables_too_small_for_an_interval_are_refused(shape, params):
    with pytest.raises(ValueError, match=r"two trainings and two subjects .* got \(3, 6\), \("):
        estimate_crossed([np.zeros((3, 6)), np.zeros(shape)], params)

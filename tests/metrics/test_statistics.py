"""Statistics: by subject, hand-computed, against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from slicefill.metrics import find_metric
from slicefill.metrics.statistics import (
    LEAST_TESTED,
    average_seeds,
    compare_methods,
    seed_spread,
    summarise_scores,
)

REFERENCES = ["nearest", "linear"]


def frame(metric="psnr_body", subjects=None, **methods):
    """One row per method and case; one subject per case unless told."""
    rows = [
        {
            "case": f"c{i}",
            "subject": subjects[i] if subjects else f"p{i}",
            "method": m,
            metric: value,
        }
        for m, values in methods.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def normal(mean, seed, size=30):
    return np.random.default_rng(seed).normal(mean, 1, size)


def test_the_subject_is_the_unit(params):
    scores = frame(subjects=["a", "a", "b"], linear=[1.0, 3.0, 8.0])
    row = summarise_scores(scores, params).iloc[0]
    assert (row["n"], row["mean"]) == (2, 5)  # subjects score 2 and 8
    assert row["sd"] == pytest.approx(np.sqrt(18))


def test_cases_without_a_value_are_counted(params):
    subjects = ["a", "a", "b", "c"]
    scores = frame(subjects=subjects, linear=[1.0, np.nan, np.inf, 5.0])
    row = summarise_scores(scores, params).iloc[0]
    assert (row["n"], row["dropped"], row["mean"]) == (2, 2, 3)


def test_the_interval_of_many_normal_values_is_as_theory_says(params):
    values = normal(20, seed=3, size=400)
    row = summarise_scores(frame(linear=values), params).iloc[0]
    half = stats.norm.ppf(0.975) * values.std(ddof=1) / 20
    assert row["ci_low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert row["ci_high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_intervals_of_too_few_or_equal_values(params):
    one = summarise_scores(frame(linear=[4.0]), params).iloc[0]
    assert np.isnan([one["ci_low"], one["ci_high"], one["sd"]]).all()
    equal = summarise_scores(frame(linear=[4.0, 4.0, 4.0]), params).iloc[0]
    assert (equal["ci_low"], equal["ci_high"]) == (4, 4)


def test_row_order_changes_nothing(params):
    scores = frame(linear=normal(20, 1), cubic=normal(21, 2))
    shuffled = scores.sample(frac=1, random_state=1)
    keys = ["method", "metric"]
    pd.testing.assert_frame_equal(
        summarise_scores(scores, params).sort_values(keys, ignore_index=True),
        summarise_scores(shuffled, params).sort_values(keys, ignore_index=True),
    )


def test_p_and_difference_are_those_of_scipy(params):
    base, better = normal(20, 1), normal(20.5, 2)
    row = compare_methods(frame(linear=base, slice_imputation=better), REFERENCES, params).iloc[0]
    assert (row["method"], row["reference"], row["n"]) == ("slice_imputation", "linear", 30)
    assert row["p"] == pytest.approx(stats.wilcoxon(better, base).pvalue)
    assert row["difference"] == pytest.approx((better - base).mean())
    assert row["harmed"] == pytest.approx((better < base).mean())
    assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_the_reference_is_the_best_reference_method(params):
    scores = frame(nearest=[3.0, 3.0], linear=[2.0, 2.0], cubic=[9.0, 9.0])
    result = compare_methods(scores, REFERENCES, params)
    assert set(result["reference"]) == {"nearest"}  # cubic is no reference method here
    assert set(result["method"]) == {"linear", "cubic"}


def test_the_best_reference_is_that_of_the_cases_that_all_of_them_have(params):
    """Linear is better than cubic by 1 dB wherever both are; cubic lacks the hard cases."""
    linear = np.repeat([30.0, 20.0], (8, 4)) + normal(0, 0, 12) / 10
    cubic = np.where(np.arange(12) < 8, linear - 1, np.nan)
    scores = frame(linear=linear, cubic=cubic, nearest=np.full(12, np.nan), ours=linear - 0.5)
    result = compare_methods(scores, ["cubic", "nearest", "linear"], params)
    assert set(result["reference"]) == {"linear"}
    assert result.set_index("method").loc["ours", "difference"] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("metric", "worse", "better"),
    [
        ("psnr_body", 20, 30),
        ("dice_mean", 0.5, 0.9),
        ("mae_field", 9, 3),
        ("assd_core", 2, 1),
        ("bias_body", -4, 2),
        ("volume_bias_rim", 0.3, -0.1),
        ("gradient_ratio", 1.4, 0.8),
        ("alternation", 0.5, 1.1),
        ("ravd_liver", 0.3, -0.1),
        ("ravd_abs_mean", 0.3, 0.1),
        ("mssd_mean", 9, 5),
        ("hd95_liver", 9, 5),
        ("nsd_mean", 0.2, 0.3),
    ],
)
def test_gain_is_positive_where_the_method_is_better(params, metric, worse, better):
    scores = frame(metric, linear=[float(worse)] * 6, ours=[float(better)] * 6)
    row = compare_methods(scores, REFERENCES, params).iloc[0]
    assert row["difference"] > 0
    assert row["harmed"] == 0


def test_biases_of_opposite_sign_do_not_cancel_within_a_subject(params):
    scores = frame("bias_body", subjects=["a", "a"], linear=[1.0, 1.0], ours=[-5.0, 5.0])
    assert compare_methods(scores, REFERENCES, params).iloc[0]["difference"] == -4


def test_holm_over_the_whole_table_by_hand(params):
    scores = frame(linear=normal(20, 1), ours=normal(20.6, 2), iia=normal(20.2, 3))
    scores["ssim_body"] = scores["psnr_body"] + normal(0, 4, len(scores))
    result = compare_methods(scores, REFERENCES, params)
    ordered = np.sort(result["p"])
    factors = np.arange(len(ordered), 0, -1)
    by_hand = np.minimum(np.maximum.accumulate(ordered * factors), 1)
    assert len(result) == 4
    np.testing.assert_allclose(np.sort(result["p_holm"]), by_hand)


def test_pairs_with_a_missing_side_are_left_out(params):
    scores = frame(linear=[1.0, 2.0, np.nan, 4.0], ours=[2.0, 1.0, 9.0, np.nan])
    row = compare_methods(scores, REFERENCES, params).iloc[0]
    assert (row["n"], row["difference"], row["harmed"]) == (2, 0, 0.5)


def test_equal_methods_differ_by_nothing(params):
    same = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    row = compare_methods(frame(linear=same, nearest=same), REFERENCES, params).iloc[0]
    assert (row["difference"], row["p"], row["p_holm"], row["harmed"]) == (0, 1, 1, 0)


def test_methods_are_tested_from_as_many_subjects_on_as_can_show_a_difference(params):
    """Of n gains that are all positive, the two-sided p is 2 / 2ⁿ: .0625 of five, .03125 of six."""
    for count, p in ((2, None), (LEAST_TESTED - 1, None), (LEAST_TESTED, 2 / 2**LEAST_TESTED)):
        base = np.arange(1.0, count + 1)
        row = compare_methods(frame(linear=base, ours=1.1 * base), REFERENCES, params).iloc[0]
        assert row["n"] == count
        assert row["difference"] > 0
        if p is None:
            assert np.isnan(row[["p", "p_holm", "ci_low", "ci_high"]].astype(float)).all()
        else:
            assert row["p"] == pytest.approx(p)
            assert row["p"] < 0.05 < 2 * row["p"]
            assert row["ci_low"] <= row["difference"] <= row["ci_high"]


def test_unmeasured_methods_stay_in_the_table_untested(params):
    given = np.arange(6.0)
    scores = frame("assd_mean", linear=given, nearest=given + 0.5, ours=given * np.nan)
    result = compare_methods(scores, REFERENCES, params).set_index("method")
    assert result.loc["ours", "n"] == 0
    assert np.isnan(result.loc["ours", ["p", "p_holm"]].astype(float)).all()
    assert result.loc["nearest", "p_holm"] == result.loc["nearest", "p"]


def test_counts_and_all_slices_are_not_compared(params):
    scores = frame(linear=[1.0, 2.0], ours=[2.0, 4.0])
    scores["psnr_all_slices"], scores["slices"] = scores["psnr_body"], 3.0
    assert set(compare_methods(scores, REFERENCES, params)["metric"]) == {"psnr_body"}
    assert set(summarise_scores(scores, params)["metric"]) == {"psnr_body", "psnr_all_slices"}


def test_volumes_and_counts_are_no_metrics(params):
    scores = frame("dice_mean", linear=[0.1, 0.2], ours=[0.2, 0.4])
    for name in ("both_empty", "prediction_empty", "truth_empty", "ml_liver", "ml_truth_liver"):
        scores[name] = 1.0
    assert set(summarise_scores(scores, params)["metric"]) == {"dice_mean"}
    assert set(compare_methods(scores, REFERENCES, params)["metric"]) == {"dice_mean"}


def test_a_signed_volume_difference_is_not_tested_beside_its_magnitude(params):
    scores = frame("ravd_mean", linear=[0.1, -0.2], ours=[0.2, 0.4])
    assert set(compare_methods(scores, REFERENCES, params)["metric"]) == {"ravd_mean"}
    scores["ravd_abs_mean"] = scores["ravd_mean"].abs()
    assert set(compare_methods(scores, REFERENCES, params)["metric"]) == {"ravd_abs_mean"}
    assert set(summarise_scores(scores, params)["metric"]) == {"ravd_mean", "ravd_abs_mean"}


def seeded(**methods):
    """One row per method, seed and case; each list holds the cases of one seed."""
    runs = [
        frame("dice_mean", **{method: values}).assign(seed=seed)
        for method, seeds in methods.items()
        for seed, values in enumerate(seeds)
    ]
    return pd.concat(runs, ignore_index=True)


def test_seeds_of_a_case_are_averaged_first(params):
    scores = seeded(ours=[[0.2, 0.6], [0.4, 0.8]])
    averaged = average_seeds(scores)
    assert "seed" not in averaged
    assert averaged["dice_mean"].tolist() == pytest.approx([0.3, 0.7])
    row = summarise_scores(scores, params).iloc[0]
    assert (row["n"], row["dropped"]) == (2, 0)
    assert row["sd"] == pytest.approx(np.std([0.3, 0.7], ddof=1))


def test_a_case_counts_once_however_many_of_its_seeds_have_a_value(params):
    scores = seeded(ours=[[0.2, 0.6], [np.nan, 0.8]])
    row = summarise_scores(scores, params).iloc[0]
    assert (row["n"], row["dropped"], row["mean"]) == (2, 1, pytest.approx(0.45))


def test_seeds_are_no_further_pairs_in_a_comparison(params):
    base, better = normal(0.7, 1), normal(0.8, 2)
    scores = seeded(linear=[base - 0.1, base + 0.1], ours=[better, better])
    row = compare_methods(scores, REFERENCES, params).iloc[0]
    assert (row["n"], row["trainings"]) == (30, 2)
    assert row["difference"] == pytest.approx((better - base).mean())
    averaged = compare_methods(average_seeds(scores), REFERENCES, params).iloc[0]
    assert averaged["p"] == pytest.approx(stats.wilcoxon(better, base).pvalue)


def test_methods_that_share_their_networks_are_paired_by_training(params):
    """Each subject and network gains .01; networks differ by three times that."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.7, 0.1, 30) + rng.normal(0, 0.03, (5, 1))
    scores = seeded(linear=base, ours=base + 0.01)
    apart = compare_methods(scores, REFERENCES, params).iloc[0]
    assert apart["p"] > 0.05
    shared = scores.assign(network=[f"none/unet2d_{seed}" for seed in scores["seed"]])
    row = compare_methods(shared, REFERENCES, params).iloc[0]
    assert (row["trainings"], row["noise"]) == (5, "subjects and trainings")
    np.testing.assert_allclose(row[["difference", "ci_low", "ci_high"]].astype(float), 0.01)
    own = shared["method"] + shared["network"]
    pd.testing.assert_series_equal(
        compare_methods(scores.assign(network=own), REFERENCES, params).iloc[0], apart
    )


def test_what_names_a_training_is_no_metric(params):
    scores = seeded(ours=[[0.2, 0.6], [0.4, 0.8]], linear=[[0.5, 0.7], [0.5, 0.7]])
    named = scores.assign(engine="unet2d", prediction="ours_seed0/c0")
    named["network"] = named["method"]
    pd.testing.assert_frame_equal(average_seeds(named), average_seeds(scores))
    pd.testing.assert_frame_equal(summarise_scores(named, params), summarise_scores(scores, params))
    said = [compare_methods(given, REFERENCES, params) for given in (named, scores)]
    pd.testing.assert_frame_equal(*said)
    pd.testing.assert_frame_equal(seed_spread(named), seed_spread(scores))


def test_scores_without_seeds_are_left_alone():
    scores = frame(linear=[1.0, 2.0])
    assert average_seeds(scores) is scores


def test_seed_spread_is_that_of_the_means_over_subjects():
    scores = seeded(ours=[[0.2, 0.6], [0.4, 0.8]], linear=[[0.5, 0.7]])
    spread = seed_spread(scores).set_index("method")
    assert spread.loc["ours", "sd"] == pytest.approx(np.std([0.4, 0.6], ddof=1))
    assert np.isnan(spread.loc["linear", "sd"])
    assert set(spread["metric"]) == {"dice_mean"}


@pytest.mark.parametrize("endless", [np.inf, -np.inf])
def test_what_could_not_be_measured_does_not_spread_over_the_seeds(endless):
    """Of two subjects one has no value under the first seed: the other stands for the mean."""
    spread = seed_spread(seeded(ours=[[0.2, endless], [0.4, 0.8]]))
    assert spread["sd"].item() == pytest.approx(np.std([0.2, 0.6], ddof=1))


def test_errors_say_what_to_do(params):
    with pytest.raises(
        ValueError, match=r"none of the reference methods .* was scored, only \['ours'\]"
    ):
        compare_methods(frame(ours=[1.0]), REFERENCES, params)
    with pytest.raises(
        ValueError,
        match=r"'sharpness' is no metric: expected a name that begins with one of .*psnr",
    ):
        find_metric("sharpness").merit(pd.Series([1.0]))

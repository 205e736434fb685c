import re
from collections import Counter
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest

from slicefill import tracking
from slicefill.datasets.cases import CasesDataset
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import EvaluationParams
from slicefill.pipelines.evaluation.nodes import (
    draw_figures,
    evaluate_cases,
    summarise_evaluation,
    tabulate_scores,
    write_report,
)
from slicefill.reporting.evaluation_tables import tabulate_adaptation
from slicefill.simulation.subsampling import subsample
from slicefill.simulation.virtual_subjects import virtual_subject
from slicefill.types import Case, Promise

PNG = b"\x89PNG\r\n\x1a\n"
SPLITS = pd.DataFrame({"case": ["a", "b"], "subject": ["p", "q"], "split": "test"})


@pytest.fixture(scope="module")
def params(configuration):
    return EvaluationParams(**configuration("tiny")["parameters"]["evaluation"])


def evaluate(imputed, cases, splits, params):
    """Both nodes, with what the first one leaves on disk between them."""
    with TemporaryDirectory() as folder:
        results = CasesDataset(path=folder, made_by="evaluation", content="evaluation")
        results.save(evaluate_cases(imputed, cases, splits, params))
        return tabulate_scores(results.load(), imputed, splits, params)


@pytest.fixture(scope="module")
def truths():
    return {name: virtual_subject(seed, (32, 36, 33)) for seed, name in enumerate("ab")}


@pytest.fixture(scope="module")
def cases(truths):
    return {name: Promise(lambda c=c: c, "") for name, c in truths.items()}


@pytest.fixture(scope="module")
def imputed(truths, subsampling, imputation_params):
    """Both cases, ×4 along S, imputed by two methods."""
    params = imputation_params(count=3, through_plane="S")
    made = {
        f"{name}/{case}": impute_case(
            subsample(truth, subsampling(axis="S", factor=4)),
            classical_imputer(name, params),
            params,
        )
        for name in ("nearest", "linear")
        for case, truth in truths.items()
    }
    return {name: Promise(lambda c=c: c, "") for name, c in made.items()}


@pytest.fixture(scope="module")
def evaluated(imputed, cases, params):
    """Scores, unscored cases, set scores, slices, risk-coverage curves, figures."""
    return evaluate(imputed, cases, SPLITS, params)


@pytest.fixture(scope="module")
def scores(evaluated):
    return evaluated[0]


@pytest.fixture(scope="module")
def set_scores(evaluated):
    return evaluated[2]


def test_there_is_a_row_per_case_and_method_with_its_subject(scores):
    assert list(zip(scores["method"], scores["case"], scores["subject"], strict=True)) == [
        ("nearest", "a", "p"),
        ("nearest", "b", "q"),
        ("linear", "a", "p"),
        ("linear", "b", "q"),
    ]
    by_method = scores.groupby("method")["psnr_body"].mean()
    assert by_method["linear"] > by_method["nearest"]


def test_the_truth_scores_best(imputed, cases, truths, params):
    name = "linear/a"
    made = imputed[name].make()
    perfect = Case(
        made.image.with_stored(truths["a"].image.stored),
        made.label.with_stored(truths["a"].label.stored),
        made.maps,
        made.record,
    )
    given = {name: Promise(lambda: perfect, "")}
    row = evaluate(given, cases, SPLITS, params)[0].iloc[0]
    assert row["psnr_body"] == np.inf
    assert row["ssim_body"] == pytest.approx(1)
    assert row["dice_mean"] == pytest.approx(1)


def test_where_no_slice_was_removed_nothing_is_scored(cases, truths, imputation_params, params):
    rule = imputation_params(count=1, through_plane="S")
    made = impute_case(truths["a"], classical_imputer("linear", rule), rule)
    given = {"linear/a": Promise(lambda: made, "")}
    scores, unscored, *_ = evaluate(given, cases, SPLITS, params)
    assert unscored.empty
    assert list(scores.columns) == ["case", "subject", "method"]
    assert scores.empty
    summary, comparisons, table, text = summarise_evaluation(
        scores, scores, ["nearest", "linear"], "linear", params
    )
    assert summary.empty
    assert comparisons.empty
    assert table.empty
    assert "nothing to score" in text


def test_a_case_that_cannot_be_scored_does_not_stop_the_others(imputed, cases, params):
    def fail():
        raise OSError("no such disk")

    given = {**imputed, "linear/a": Promise(fail, "")}
    scores, unscored, *_ = evaluate(given, cases, SPLITS, params)
    assert len(scores) == len(imputed) - 1
    assert unscored.to_dict("records") == [{"case": "linear/a", "reason": "OSError: no such disk"}]


def test_a_case_whose_truth_is_not_there_says_so(imputed, cases, params):
    scores, unscored, *_ = evaluate(imputed, {"a": cases["a"]}, SPLITS, params)
    assert set(scores["case"]) == {"a"}
    assert "run ingestion again" in unscored.set_index("case").loc["linear/b", "reason"]


def test_when_no_case_can_be_scored_the_run_stops(imputed, params):
    with pytest.raises(ValueError, match=r"none of 4 imputed cases.*run ingestion again"):
        evaluate(imputed, {}, SPLITS, params)


def test_every_synthetic_slice_is_listed_with_its_confidence_and_its_error(imputed, evaluated):
    *_, slices, curves, _ = evaluated
    record = imputed["linear/a"].make().record
    own = slices.query("method == 'linear' and case == 'a'")
    expected = [one for one in record["slices"] if "confidence" in one]
    assert own["slice"].tolist() == [one["index"] for one in expected]
    assert own["confidence"].tolist() == [one["confidence"] for one in expected]
    assert (own["subject"] == "p").all()
    assert (own["error"] > 0).all()
    whole = curves.query("method == 'linear' and case == 'a' and coverage == 1")
    assert whole["risk"].item() == pytest.approx(whole["random"].item())


def test_slices_are_listed_without_a_truth_too_and_of_test_subjects_alone_there_are_curves(
    imputed, cases, params
):
    half = SPLITS.assign(split=["test", "train"])
    *_, slices, curves, _ = evaluate(imputed, cases, half, params)
    assert set(curves["case"]) == {"a"}
    assert slices.query("case == 'b'")["error"].isna().all()
    assert slices.query("case == 'b'")["confidence"].notna().all()
    *_, slices, curves, figures = evaluate({}, cases, SPLITS, params)
    assert all(table.empty and "case" in table for table in (slices, curves))
    assert figures == {}


def test_the_summary_names_every_method(scores, set_scores, params):
    summary, comparisons, _, text = summarise_evaluation(
        scores, set_scores, ["nearest", "linear"], "linear", params
    )
    assert set(summary["method"]) == {"nearest", "linear"}
    assert set(comparisons["metric"]) <= set(summary["metric"])
    assert "linear" in text
    assert text.count("\n|") >= 3


def test_a_method_has_one_set_score_over_all_its_cases(imputed, cases, set_scores, params):
    assert set_scores[["method", "metric", "n"]].to_numpy().tolist() == [
        ["nearest", "intensity_distance_body", 2],
        ["linear", "intensity_distance_body", 2],
    ]
    alone = [evaluate(imputed, cases, SPLITS.query("case == @case"), params)[2] for case in "ab"]
    lowest, highest = np.sort([each["mean"].to_numpy() for each in alone], axis=0)
    assert (set_scores["mean"] < highest).all()
    assert set(set_scores["mean"]) & {*lowest, *highest} == set()


def test_figures_show_the_first_cases_and_the_scores(imputed, cases, evaluated, params):
    scores, *_, curves, views = evaluated
    assert set(views) == {"views_a", "labels_a"}  # figure_cases is 1
    figures = draw_figures(imputed, scores, curves, curves[:0], {}, params)
    assert set(figures) == {"scores", "risk_coverage"}
    assert set(draw_figures(imputed, scores, curves[:0], curves[:0], {}, params)) == {"scores"}
    *_, views = evaluate(imputed, {"b": cases["b"]}, SPLITS, params)
    assert set(views) == {"views_b", "labels_b"}


def test_a_figure_that_fails_costs_no_score(imputed, cases, scores, params, monkeypatch):
    def fail(*_):
        raise ValueError("no ink")

    monkeypatch.setattr("slicefill.reporting.evaluation_figures.draw_case", fail)
    found, *_, views = evaluate(imputed, cases, SPLITS, params)
    pd.testing.assert_frame_equal(found, scores)
    assert views == {}


@pytest.fixture
def results(tmp_path):
    return CasesDataset(path=str(tmp_path), made_by="evaluation", content="evaluation")


def test_what_is_read_from_disk_is_what_was_found(imputed, cases, params, results):
    """To the last bit: numbers, histograms, tables and pictures."""
    promises = evaluate_cases(imputed, cases, SPLITS, params)
    results.save(promises)
    for case, promise in promises.items():
        found, again = promise.make(), results.load()[case].make()
        assert again.figures == found.figures
        assert set(again.methods) == {"nearest", "linear"}
        for method, own in found.methods.items():
            read = again.methods[method]
            assert read.scores == own.scores
            pd.testing.assert_frame_equal(read.slices, own.slices, check_exact=True)
            pd.testing.assert_frame_equal(read.curves, own.curves, check_exact=True)
            for name, described in own.described.items():
                np.testing.assert_array_equal(read.described[name], described)


def test_nothing_is_scored_anew_but_for_what_changed(imputed, cases, params, results):
    def made(*given):
        results.save(evaluate_cases(*given))
        return results.made

    assert made(imputed, cases, SPLITS, params) == 2
    assert made(imputed, cases, SPLITS, params) == 0
    assert made(imputed, cases, SPLITS, params.model_copy(update={"bootstrap_samples": 7})) == 0
    changed = {**imputed, "linear/b": Promise(imputed["linear/b"].make, "another")}
    assert made(changed, cases, SPLITS, params) == 1
    assert made(changed, cases, SPLITS, params.model_copy(update={"body_quantile": 0.2})) == 2


def test_what_failed_is_tried_again(imputed, cases, params, results, monkeypatch):
    def fail():
        raise OSError("no such disk")

    broken = {**imputed, "linear/b": Promise(fail, imputed["linear/b"].fingerprint)}
    results.save(evaluate_cases(broken, cases, SPLITS, params))
    _, unscored, *_ = tabulate_scores(results.load(), broken, SPLITS, params)
    assert unscored["case"].tolist() == ["linear/b"]
    results.save(evaluate_cases(imputed, cases, SPLITS, params))
    assert results.made == 1
    assert tabulate_scores(results.load(), imputed, SPLITS, params)[1].empty


@pytest.fixture
def counted():
    """Promises that count how often they are kept, and offer their record without that."""
    counts = Counter()

    def count(promises):
        def read(name):
            counts[name] += 1
            return promises[name].make()

        return {
            name: Promise(partial(read, name), name, partial(lambda c: c.record, each.make()))
            for name, each in promises.items()
        }

    return counts, count


def test_every_volume_is_read_once(imputed, cases, params, counted):
    """By scores, confidence, figures and set scores of both methods together."""
    counts, count = counted
    *_, views = evaluate(count(imputed), count(cases), SPLITS, params)
    assert views
    assert counts == dict.fromkeys([*imputed, *cases], 1)


def test_what_the_record_says_is_not_read_from_volumes(imputed, cases, params, counted):
    """The confidence of slices whose truth is not asked for."""
    counts, count = counted
    training = SPLITS.assign(split=["train", "test"])
    none_drawn = params.model_copy(update={"figure_methods": []})
    slices = evaluate(count(imputed), count(cases), training, none_drawn)[4]
    assert set(slices["case"]) == {"a", "b"}
    assert set(counts) == {"nearest/b", "linear/b", "b"}


def test_models_that_are_not_shown_are_not_read(imputed, scores, params):
    def unread():
        pytest.fail("the model was read")

    nothing = pd.DataFrame()
    assert draw_figures(imputed, scores, nothing, nothing, {"another": unread}, params)


@pytest.fixture(scope="module")
def parameters(configuration):
    return dict(configuration("tiny")["parameters"])


def report(scores, params, parameters, refused):
    nothing = pd.DataFrame()
    summary, comparisons, _, _ = summarise_evaluation(
        scores, nothing, ["nearest", "linear"], "linear", params
    )
    slices = pd.DataFrame(SLICES)
    gains = tabulate_adaptation({})
    figures = {"views_a": PNG}, {"scores": PNG}
    return write_report(summary, comparisons, slices, gains, refused, *figures, parameters)


SLICES = [
    {
        "method": "linear",
        "case": name,
        "measure": "agreement",
        "slice": k,
        "confidence": 0.9 - k / 10,
    }
    | {"abstained": np.nan, "error": 0.04}
    for name in "ab"
    for k in (1, 2, 3)
]
REFUSED = pd.DataFrame(
    [
        [
            "case-2",
            "images/case-2.nii.gz",
            "a whole file",
            "half of it",
            "copy it again",
            "refused",
            1,
        ]
    ],
    columns=["case", "file", "expected", "found", "remedy", "outcome", "files"],
)


def test_the_report_holds_scores_settings_and_refused_cases(scores, params, parameters):
    page = report(scores, params, parameters, REFUSED)
    for expected in ("tiny", "linear", "case-2", "copy it again", "data:image/png;base64", "Least"):
        assert expected in page


def test_the_report_is_the_same_whichever_parameters_kedro_has_turned_into_models(
    scores, params, parameters, synthesis_params
):
    """In a run of the whole study every typed parameter is a model, in others some are."""
    models = {**parameters, "evaluation": params, "synthesis": synthesis_params}
    plain = report(scores, params, parameters, REFUSED[:0])
    typed = report(scores, params, models, REFUSED[:0])

    def without_time(page):
        return [line for line in page.splitlines() if "UTC" not in line]

    assert without_time(typed) == without_time(plain)


def test_the_headline_is_of_the_model_that_imputed(scores, params, parameters):
    """`linear` stands in for a model here: `nearest` is what it is better than."""
    evaluation = {**parameters["evaluation"], "reference_methods": ["nearest"]}
    shown = {**parameters, "evaluation": evaluation}
    for name in ("slice_imputation", "pretrained"):
        page = report(scores.replace({"method": {"linear": name}}), params, shown, REFUSED[:0])
        assert re.search(rf"{name}: [\d.]+ dB .*best classical method \(nearest\)", page)
        assert ("Variant" in page) == (name == "slice_imputation")
        assert ("Weights" in page) == (name == "pretrained")


def test_without_scores_there_is_a_report_all_the_same(params, parameters):
    page = report(
        pd.DataFrame(columns=["case", "subject", "method"]), params, parameters, REFUSED[:0]
    )
    assert "there is no truth" in page


def test_main_scores_are_tracked_without_a_method_and_nothing_of_another_run(
    scores, set_scores, params, monkeypatch
):
    logged = {}
    monkeypatch.setattr(tracking, "log_metrics", logged.update)
    summary, *_ = summarise_evaluation(scores, set_scores, ["linear"], "iia", params)
    means = summary.set_index(["method", "metric"])["mean"]
    assert set(summary["method"]) == {"nearest", "linear"}  # an earlier run imputed by nearest
    assert {name: one for name, one in logged.items() if "/" not in name} == {
        "psnr": means["linear", "psnr_body"],
        "ssim": means["linear", "ssim_body"],
        "dice": means["linear", "dice_mean"],
        "volume_bias": means["linear", "volume_bias_mean"],
    }
    details = [name for name in logged if "/" in name]
    assert "detail/mae_body/linear" in details
    assert all(name.startswith("detail/") and name.endswith("/linear") for name in details)


def test_realism_is_measured_on_request(imputed, cases, params):
    """Row real beside the methods, a table, an ellipse figure; training cases are known, too."""
    asked = params.model_copy(update={"metrics": ["c2st", "mmd_rows", "similarity_s_r"]})
    splits = pd.DataFrame({"case": ["a", "b"], "subject": ["p", "q"], "split": ["test", "train"]})
    _, _, set_scores, ellipses, _, curves, _ = evaluate(imputed, cases, SPLITS, asked)
    table = set_scores.pivot(index="method", columns="metric", values="mean")
    assert set(table.index) == {"nearest", "linear", "real"}
    assert table.loc["real", "mmd_rows"] < table.loc["linear", "mmd_rows"]
    assert table["c2st_reformatted"].between(0, 1).all()
    assert {"real", "linear"} <= set(ellipses["method"])
    drawn = draw_figures(imputed, pd.DataFrame(), curves[:0], ellipses, {}, asked)
    assert "realism" in drawn
    only_a = {name: own for name, own in imputed.items() if name.endswith("a")}
    alone = evaluate(only_a, cases, splits, asked)[2]
    known = alone.set_index(["method", "metric"])["mean"]
    assert np.isnan(known["nearest", "c2st_reformatted"])  # of one subject
    assert 0 < known["nearest", "similarity_s_r_in_plane"] <= 1  # with slices of training
    without = evaluate(only_a, {"a": cases["a"]}, splits, asked)[2]
    assert without.set_index("metric")["mean"].loc["similarity_s_r_in_plane"].isna().all()

import json
import math
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from slicefill.tuning import trial as module
from slicefill.tuning.best import choose_trial, describe_best, tabulate_trials
from slicefill.tuning.study import search
from slicefill.tuning.trial import FAILURE, Course


def checkpoint(params, psnr=None):
    """What a training would end with; best where warping weighs 0.3."""
    miss = abs(math.log10(params.lambdas["warp"] / 0.3))
    return {"validation": {"psnr": 30 - miss if psnr is None else psnr, "ssim": 0.9}}


@pytest.fixture
def quick(monkeypatch):
    """Trials that take no time: epochs reach a value that depends on the λ tried."""

    def train_on(training_set, params, run, own):
        end = checkpoint(params)["validation"]
        epochs = params.optimisation.epochs
        for epoch in range(epochs + 1):
            reached = 20 + (end["psnr"] - 20) * epoch / epochs
            run.report({"validation/psnr": reached, "validation/ssim": 0.9}, epoch)
        return checkpoint(params)

    monkeypatch.setattr(module, "train_on", train_on)


def tried(study):
    return [trial.params for trial in study.trials]


def test_presets_are_tried_first_and_the_best_is_no_worse(begin, quick, unwatched):
    study, validation = begin(start=["practical", "super_slomo_no_per"], trials=6)
    search(study, validation, unwatched)
    assert [p["weights.warp"] for p in tried(study)[:2]] == [0.1, pytest.approx(0.5)]
    best = describe_best(study, validation.tuning, "command")
    assert set(best["start"]) == {"practical", "super_slomo_no_per"}
    for start in best["start"].values():
        assert best["objectives"]["psnr"] >= start["psnr"]
    assert best["objectives"]["psnr"] == pytest.approx(sum(best["folds"]["psnr"]) / 2)
    json.dumps(best)


def test_a_seed_gives_the_same_trials_whether_or_not_the_search_was_stopped(
    begin, quick, unwatched, tmp_path
):
    whole, validation = begin(trials=6, study="whole")
    search(whole, validation, unwatched)
    for trials in (2, 3, 6):
        parts, validation = begin(trials=trials, study="parts")
        search(parts, validation, unwatched)
        assert len(parts.trials) == trials
    assert tried(parts) == tried(whole)
    assert len({p["weights.warp"] for p in tried(whole)}) == 6
    other, validation = begin(trials=6, seed=1, study="other")
    search(other, validation, unwatched)
    assert tried(other)[1:] != tried(whole)[1:]


def test_another_budget_is_the_same_study_and_other_training_another(begin):
    name = begin()[0].study_name
    assert begin(trials=9, pruner="median", seed=3)[0].study_name == name
    names = {
        begin(**changes)[0].study_name
        for changes in (
            {"overrides": {"optimisation.epochs": 2}},
            {"objectives": ["ssim"]},
            {"objectives": ["label_dice"]},
        )
    }
    assert len(names | {name}) == 4


def test_bad_values_are_stopped_early_and_cost_no_further_fold(begin, quick, unwatched):
    study, validation = begin(
        pruner="median", startup_trials=3, trials=20, overrides={"optimisation.epochs": 4}
    )
    search(study, validation, unwatched)
    stopped = [t for t in study.trials if t.state == TrialState.PRUNED]
    completed = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert stopped
    assert {len(t.intermediate_values) for t in completed} == {10}  # 2 folds × (4 + 1)
    assert all(len(t.intermediate_values) < 10 for t in stopped)
    assert study.best_value >= max(t.intermediate_values[t.last_step] for t in stopped)
    table = tabulate_trials(study)
    assert table["psnr"].isna().sum() == len(stopped)  # a gain is no PSNR


def test_hyperband_stops_trials_too(begin, quick, unwatched):
    study, validation = begin(
        pruner="hyperband", startup_trials=1, trials=30, overrides={"optimisation.epochs": 8}
    )
    search(study, validation, unwatched)
    assert TrialState.PRUNED in {t.state for t in study.trials}


def test_a_failing_trial_is_recorded_with_its_reason_and_the_others_go_on(
    begin, unwatched, monkeypatch
):
    seen = []

    def train_on(training_set, params, run, own):
        seen.append(params.lambdas["warp"])
        if len(seen) == 2:
            msg = "loss term rec is not finite"
            raise FloatingPointError(msg)
        return checkpoint(params)

    monkeypatch.setattr(module, "train_on", train_on)
    study, validation = begin(trials=3)
    search(study, validation, unwatched)
    states = [t.state.name for t in study.trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[0].user_attrs[FAILURE] == "FloatingPointError: loss term rec is not finite"
    assert "not finite" in tabulate_trials(study)["failure"][0]


def test_a_search_without_any_result_says_why(begin, unwatched, monkeypatch):
    def train_on(*_):
        msg = "out of memory"
        raise RuntimeError(msg)

    monkeypatch.setattr(module, "train_on", train_on)
    study, validation = begin(trials=2)
    with pytest.raises(ValueError, match="the last reason: RuntimeError: out of memory"):
        search(study, validation, unwatched)
    assert len(study.trials) == 2


def test_no_trial_is_begun_after_the_time_is_over(begin, unwatched, monkeypatch):
    now = [0.0]

    def train_on(training_set, params, run, own):
        now[0] += 30  # seconds; two folds make a minute
        return checkpoint(params)

    monkeypatch.setattr(module, "train_on", train_on)
    monkeypatch.setattr("slicefill.tuning.study.time", SimpleNamespace(monotonic=lambda: now[0]))
    study, validation = begin(trials=50, minutes=1.5)
    search(study, validation, unwatched)
    assert len(study.trials) == 2


def test_steps_tell_the_gain_over_the_untrained_network(begin):
    study, _ = begin(start=[])
    trial = study.ask()
    course = Course(trial, "validation/psnr", folds=2, span=3)
    reached = {0: [20.0, 22.0, 21.0], 1: [10.0, 9.0, 14.0]}
    for fold, values in reached.items():
        for epoch, value in enumerate(values):
            course.follow(fold, lambda *_: None, {"validation/psnr": value}, epoch)
    steps = study.trials[0].intermediate_values
    assert steps == {0: 0.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 3.0}  # 2 dB, then 2 + 4 dB, of 2


def test_of_several_objectives_the_trial_nearest_to_the_ideal_is_best(begin):
    study, _ = begin(objectives=["label_dice", "label_volume_bias"], start=[])
    for values in ([0.80, 0.00], [0.89, 0.02], [0.90, 0.10], [0.70, 0.20]):
        trial = study.ask()
        study.tell(trial, values)
    assert choose_trial(study).number == 1
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert {"label_dice", "label_volume_bias"} <= set(tabulate_trials(study).columns)

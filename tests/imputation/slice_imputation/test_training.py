"""Training as a whole: it learns, it resumes to the bit, it refuses what cannot work."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.slice_imputation.groups import summarise_views
from slicefill.imputation.methods.slice_imputation.learner import schedule
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.imputation.methods.slice_imputation.training import train, training_fingerprint
from slicefill.imputation.methods.slice_imputation.training_set import (
    TrainingData,
    validate,
    validation_groups,
)
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.training.fit import Run

from ...states import MemoryStore, equal


class Reporter:
    """Remembers what was reported; kills the run in the epoch given."""

    def __init__(self, kill_in=None):
        self.values = []
        self.kill_in = kill_in

    def __call__(self, values, epoch):
        assert epoch not in [done for done, _ in self.values]
        self.values.append((epoch, dict(values)))
        if epoch == self.kill_in:
            raise KeyboardInterrupt


@pytest.fixture
def data(discs):
    def make(labelled=True, count=3):
        cases = discs(count, labelled)
        last = max(cases)
        training = {name: case for name, case in cases.items() if name != last}
        return TrainingData(training, {last: cases[last]}, "auto")

    return make


@pytest.mark.parametrize("variant", ["paper", "iia", "refined"])
@pytest.mark.parametrize("kill_in", [0, 2])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(variant, kill_in, data, params):
    made = params(variant=variant, optimisation={"epochs": 3})
    whole, store = MemoryStore(), MemoryStore()
    expected = train(data(), made, Run(whole, Reporter()))
    with pytest.raises(KeyboardInterrupt):
        train(data(), made, Run(store, Reporter(kill_in)))
    reporter = Reporter()
    checkpoint = train(data(), made, Run(store, reporter))
    assert reporter.values[0][0] == kill_in  # goes on with the epoch that was not saved
    assert equal(checkpoint, expected)
    states = store.load(), whole.load()
    assert states[0].keys() == states[1].keys()
    timeless = [{k: v for k, v in state.items() if k != "minutes"} for state in states]
    assert equal(*timeless)


def test_a_finished_run_is_not_repeated(data, params):
    store, reporter = MemoryStore(), Reporter()
    first = train(data(), params(), Run(store, Reporter()))
    again = train(data(), params(), Run(store, reporter))
    assert reporter.values == []
    assert equal(first, again)


def test_the_fingerprint_of_a_model_is_known_before_it_is_trained(data, params):
    made = params(optimisation={"epochs": 1})
    mark = training_fingerprint(data(), made)
    assert train(data(), made, Run(MemoryStore(), Reporter()))["fingerprint"] == mark
    swapped = TrainingData(data().validation, data().training, "auto")
    others = [
        training_fingerprint(data(), params(optimisation={"epochs": 2})),
        training_fingerprint(data(labelled=False), made),
        training_fingerprint(replace(data(), axis="S"), made),
        training_fingerprint(swapped, made),
    ]
    assert len({mark, *others}) == 5


def test_other_parameters_or_cases_start_anew_with_a_warning(data, params, caplog):
    store = MemoryStore()
    train(data(), params(optimisation={"epochs": 1}), Run(store, Reporter()))
    other = params(optimisation={"epochs": 1, "learning_rate": 2e-3})
    for changed in ((data(), other), (data(labelled=False), other)):
        reporter = Reporter()
        caplog.clear()
        train(*changed, Run(store, reporter))
        assert [epoch for epoch, _ in reporter.values] == [0, 1]
        warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
        assert any("starts anew" in message for message in warnings)


def test_every_epoch_is_reported_and_kept_in_the_history(data, params):
    reporter = Reporter()
    checkpoint = train(data(), params(), Run(MemoryStore(), reporter))
    assert [epoch for epoch, _ in reporter.values] == [0, 1, 2, 3]  # 0: the untrained network
    for epoch, values in reporter.values:
        assert np.isfinite(list(values.values())).all()
        rows = {r["term"]: r["value"] for r in checkpoint["history"] if r["epoch"] == epoch}
        assert rows == values


def psnr_of(checkpoint):
    rows = checkpoint["history"]
    return {row["epoch"]: row["value"] for row in rows if row["term"] == "validation/psnr"}


SPOILING = {"epochs": 3, "learning_rate": 0.3, "warmup_steps": 0}  # every epoch is worse than none


def test_the_best_epoch_by_validation_is_returned(data, params, caplog):
    made = params(variant="plain", optimisation=SPOILING)
    checkpoint = train(data(), made, Run(MemoryStore(), Reporter()))
    psnr = psnr_of(checkpoint)
    assert checkpoint["epoch"] == max(psnr, key=psnr.get) < 3
    assert checkpoint["validation"]["psnr"] == max(psnr.values())
    assert "no epoch was better on the held-out slices than the start" in caplog.text


@pytest.mark.parametrize(
    ("variant", "keep"), [("paper", "best"), ("iia", "best"), ("plain", "last")]
)
def test_the_last_epoch_is_returned_where_critics_take_part_or_where_it_is_asked_for(
    variant, keep, data, params, caplog
):
    """PSNR selects against the adversarial term: it would keep the start here."""
    made = params(variant=variant, optimisation={**SPOILING, "keep": keep, "patience": 1})
    checkpoint = train(data(), made, Run(MemoryStore(), Reporter()))
    psnr = psnr_of(checkpoint)
    assert checkpoint["epoch"] == max(psnr) == 3 + made.pretraining_epochs
    assert checkpoint["validation"]["psnr"] == psnr[checkpoint["epoch"]] < max(psnr.values())
    assert "the last epoch is no better" in caplog.text


def test_training_stops_when_validation_no_longer_improves(data, params):
    tiny = {"epochs": 50, "patience": 2, "learning_rate": 1e-12}  # never gets better
    made = params(variant="plain", optimisation=tiny)
    checkpoint = train(data(), made, Run(MemoryStore(), Reporter()))
    assert max(row["epoch"] for row in checkpoint["history"]) <= checkpoint["epoch"] + 3 < 50


def test_training_needs_no_labels(data, params):
    checkpoint = train(data(labelled=False), params(), Run(MemoryStore(), Reporter()))
    rows = {row["term"]: row["value"] for row in checkpoint["history"]}
    assert rows["critic/classifier"] == 0
    assert rows["critic/local"] > 0


@pytest.mark.parametrize("kind", ["training", "validation"])
def test_cases_without_a_group_are_refused(kind, data, params):
    good, impossible = data(), params(groups={"inner": (9, 9), "in_plane": 0})
    with pytest.raises(ValueError, match=r"group: synthesis.groups.inner \(9, 9\)"):
        train(good, impossible, Run(MemoryStore(), Reporter()))
    with pytest.raises(ValueError, match=f"no {kind} group"):
        train(replace(good, **{kind: {}}), params(), Run(MemoryStore(), Reporter()))


def test_a_perceptual_term_without_weights_stops_before_training(data, params, tmp_path):
    weights = {"test": {"rec": 1.0, "per": 1.0}}
    made = params(weights=weights, perceptual=str(tmp_path / "none.pth"))
    with pytest.raises(FileNotFoundError, match="perceptual"):
        train(data(), made, Run(MemoryStore(), Reporter()))


def test_a_trained_model_beats_linear_interpolation_on_moving_discs(data, params):
    made = params(
        variant="plain",
        network={"width": 8, "depth": 3},
        groups={"in_plane": 0, "inner": (1, 1), "crop": (32, 32)},
        optimisation={
            "epochs": 12,
            "learning_rate": 3e-3,
            "batch": 4,
            "groups_per_epoch": None,
        },
    )
    reporter = Reporter()
    sets = data(count=9)
    checkpoint = train(sets, made, Run(MemoryStore(), reporter))
    losses = [values["train/raw/rec"] for _, values in reporter.values[1:]]
    assert losses[-1] < 0.3 * losses[0]
    assert checkpoint["validation"]["psnr"] > reporter.values[0][1]["validation/psnr"] + 6
    slices = ViewCache(sets.validation, "auto", made)["case8"]["through_plane"].slices
    first, real, last = torch.from_numpy(slices[:-2]), slices[1:-1], torch.from_numpy(slices[2:])
    with torch.no_grad():
        _, (motion,) = load_model(checkpoint)(Pair(first, last), torch.tensor([0.5]))
        imputed = motion.blend(first, last).numpy()
    linear = (slices[:-2] + slices[2:]) / 2
    assert np.abs(imputed - real).mean() < 0.5 * np.abs(linear - real).mean()


def shipped(params):
    """A checkpoint whose flow network sees one pixel of motion everywhere."""
    made = params(variant="plain")
    model = SynthesisModel(1, made.network, made.parts)
    with torch.no_grad():
        model.flow_network.out.bias.fill_(1.0)
    sections = {name: getattr(made, name).model_dump() for name in ("network", "parts")}
    return {"weights": model.state_dict(), "channels": 1, **sections}


def test_training_goes_on_from_weights_that_are_given(data, params):
    start, reporter = shipped(params), Reporter()
    still = params(variant="plain", optimisation={"epochs": 1, "learning_rate": 1e-12})
    plain = data()
    given = replace(plain, start=start)
    made = train(given, still, Run(MemoryStore(), reporter))
    assert torch.equal(made["weights"]["flow_network.out.bias"], torch.ones(4))
    cache = ViewCache(given.validation, "auto", still)
    groups = validation_groups(summarise_views(cache, sorted(given.validation)), still)
    bar = validate(load_model(start), cache, groups)
    assert reporter.values[0] == (0, pytest.approx(bar, abs=1e-5))
    assert (
        len({training_fingerprint(d, still) for d in (plain, given, replace(plain, start=None))})
        == 2
    )


class Clock:
    """Every look at it takes a second."""

    def __init__(self, monkeypatch, begin=0.0):
        self.now = begin
        monkeypatch.setattr(
            "slicefill.training.fit.time",
            SimpleNamespace(monotonic=self.look),
        )

    def look(self):
        self.now += 1.0
        return self.now


LIMITED = {"epochs": 10**6, "minutes": 1.0, "patience": 10**6}


def test_training_ends_with_its_time_and_with_a_low_rate(data, params, monkeypatch):
    rates = []

    def remember(step, done, options):
        rates.append((step, schedule(step, done, options)))
        return rates[-1][1]

    monkeypatch.setattr("slicefill.imputation.methods.slice_imputation.learner.schedule", remember)
    Clock(monkeypatch)
    made = params(variant="plain", optimisation={**LIMITED, "warmup_steps": 0})
    checkpoint = train(data(), made, Run(MemoryStore(), Reporter()))
    steps = [row["value"] for row in checkpoint["history"] if row["term"] == "train/steps"]
    assert steps == sorted(steps)
    assert steps[-1] == len(rates) == 1 + rates[-1][0]
    assert 30 < len(rates) < 60  # a look at the clock before every step, some between epochs
    factors = [factor for _, factor in rates]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] > 0.98
    assert factors[-1] < 0.02


def test_only_the_time_that_was_spent_counts_when_a_run_goes_on(data, params, monkeypatch):
    made, store = params(variant="plain", optimisation=LIMITED), MemoryStore()
    Clock(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(data(), made, Run(store, Reporter(kill_in=3)))
    spent = store.load()["minutes"]
    assert 0 < spent < 0.5
    clock = Clock(monkeypatch, begin=10**9)
    train(data(), made, Run(store, Reporter()))
    assert clock.now - 10**9 == pytest.approx(60 * (1 - spent), abs=5)


def test_a_run_whose_time_was_over_is_not_repeated(data, params, monkeypatch):
    made, store = params(variant="plain", optimisation=LIMITED), MemoryStore()
    Clock(monkeypatch)
    first = train(data(), made, Run(store, Reporter()))
    reporter = Reporter()
    assert equal(train(data(), made, Run(store, reporter)), first)
    assert reporter.values == []


def test_a_limit_of_time_is_part_of_the_fingerprint(data, params):
    marks = {
        training_fingerprint(data(), params(optimisation=limit))
        for limit in ({"minutes": None}, {"minutes": 1.0}, {"minutes": 2.0})
    }
    assert len(marks) == 3


def test_a_lambda_without_a_loss_term_is_refused_with_those_that_exist(data, params):
    made = params(weights={"test": {"rec": 1.0}, "other": {"rec": 1.0, "grd": 0.5}})
    run = Run(MemoryStore(), Reporter())
    for asked in (lambda: train(data(), made, run), lambda: training_fingerprint(data(), made)):
        with pytest.raises(
            ValueError, match=r"weights\.other: expected .*rec, .*tp_smooth.*got grd"
        ):
            asked()


def test_an_absent_lambda_is_a_lambda_of_zero(data, params):
    short, long = {"rec": 1.0}, {"rec": 1.0, "warp": 0.0, "cycle": 0.0}
    marks = {training_fingerprint(data(), params(weights={"test": w})) for w in (short, long)}
    assert len(marks) == 1

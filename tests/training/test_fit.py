"""The loop over epochs: which epoch is kept, when it stops, and how it goes on when killed."""

import logging
from math import inf, nan

import pytest
import torch

from slicefill.io.checkpoints import StateFile
from slicefill.training.fit import Run, Schedule, fit

SCORE = "validation/dice"
WEIGHTS = [1.0, 2.5, 4.25, 6.125]  # of the learner below after 1, 2, 3 and 4 epochs


class Learner:
    """Its weight depends on every epoch and their order; its scores are given, one per epoch."""

    def __init__(self, scores=(), losses=()):
        self.weight = torch.zeros(1)
        self.scores, self.losses = scores, losses
        self.epochs = []

    def train_epoch(self, epoch):
        self.epochs.append(epoch)
        self.weight.div_(2).add_(epoch + 1)  # in place, as optimisers do
        return {"train/loss": self.losses[epoch] if self.losses else 1 / (epoch + 1)}

    def validate(self):
        return {SCORE: self.scores[self.epochs[-1]]} if self.scores else {}

    def state(self):
        return {"weight": self.weight}

    def restore(self, state):
        self.weight = state["weight"]

    def weights(self):
        return {"weight": self.weight}


class Reporter:
    """Remembers what was reported; kills the run in the epoch given."""

    def __init__(self, kill_in=None):
        self.values = {}
        self.kill_in = kill_in

    def __call__(self, values, epoch):
        assert epoch not in self.values
        self.values[epoch] = dict(values)
        if epoch == self.kill_in:
            raise KeyboardInterrupt


@pytest.fixture
def store(tmp_path):
    return StateFile(tmp_path / "state.pt")


def train(learner, store, reporter=None, mark="mark", **schedule):
    epochs = len(learner.scores) or len(learner.losses)
    made = Schedule(**{"epochs": epochs, "patience": 99, "score": SCORE, **schedule})
    return fit(learner, made, Run(store, reporter or Reporter()), mark)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([0.2, 0.9, 0.5], 2),
        ([0.2, 0.5, 0.9], 3),
        ([0.5, 0.5, 0.5], 1),  # as good is not better
        ([nan, 0.3, nan], 2),
        ([0.0, nan, nan], 1),
    ],
)
def test_the_best_epoch_is_kept_with_the_weights_it_had(scores, best, store):
    kept = train(Learner(scores), store).best
    assert (kept["epoch"], kept["score"]) == (best, scores[best - 1])
    assert kept["weights"]["weight"].item() == WEIGHTS[best - 1]


@pytest.mark.parametrize(
    ("scores", "patience", "epochs"),
    [
        ([0.5, 0.4, 0.4, 0.4, 0.9], 1, 3),
        ([0.5, 0.4, 0.4, 0.4, 0.9], 2, 4),
        ([0.5, 0.4, 0.4, 0.4, 0.9], 3, 5),
        ([0.5, 0.4, 0.6, 0.4, 0.4, 0.9], 1, 5),  # a better score starts the count again
        ([0.5, nan, nan, nan, 0.9], 1, 3),
    ],
)
def test_training_stops_when_more_epochs_than_patience_were_no_better(
    scores, patience, epochs, store
):
    progress = train(Learner(scores), store, patience=patience)
    assert progress.epoch == epochs


def test_without_a_score_the_last_epoch_is_kept(store):
    progress = train(Learner(), store, epochs=4, patience=1, score=None)
    assert (progress.epoch, progress.best["epoch"]) == (4, 4)
    assert progress.best["weights"]["weight"].item() == WEIGHTS[3]


def test_every_epoch_is_reported_and_kept_in_the_history(store):
    reporter = Reporter()
    progress = train(Learner([0.25, 0.75]), store, reporter)
    expected = {1: {"train/loss": 1.0, SCORE: 0.25}, 2: {"train/loss": 0.5, SCORE: 0.75}}
    assert reporter.values == expected
    assert progress.history == [
        {"epoch": epoch, "term": term, "value": value}
        for epoch, values in expected.items()
        for term, value in values.items()
    ]


@pytest.mark.parametrize("kill_in", [1, 3, 4])
def test_a_killed_run_ends_as_an_uninterrupted_one(kill_in, store, tmp_path):
    scores = [0.3, 0.8, 0.4, 0.5]
    whole = train(Learner(scores), StateFile(tmp_path / "whole.pt"))
    with pytest.raises(KeyboardInterrupt):
        train(Learner(scores), store, Reporter(kill_in))
    learner, reporter = Learner(scores), Reporter()
    resumed = train(learner, store, reporter)
    assert list(reporter.values) == list(range(kill_in, 5))  # the epoch not saved comes again
    assert learner.weight.item() == WEIGHTS[3]
    assert vars(resumed) == vars(whole)


def test_a_resumed_run_has_no_more_patience_than_before(store):
    scores = [0.5, 0.4, 0.4, 0.4, 0.9]
    with pytest.raises(KeyboardInterrupt):
        train(Learner(scores), store, Reporter(3), patience=2)
    assert train(Learner(scores), store, patience=2).epoch == 4


def test_a_finished_run_is_not_repeated(store):
    first = train(Learner([0.3, 0.8, 0.4]), store)
    learner, reporter = Learner([0.3, 0.8, 0.4]), Reporter()
    assert vars(train(learner, store, reporter)) == vars(first)
    assert learner.epochs == []
    assert reporter.values == {}


def test_another_mark_starts_anew_with_a_warning(store, caplog):
    train(Learner([0.3, 0.8]), store)
    learner = Learner([0.6, 0.1])
    progress = train(learner, store, mark="other")
    assert learner.epochs == [0, 1]
    assert (progress.best["epoch"], progress.best["score"]) == (1, 0.6)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "starts anew" in record.message


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_term_that_is_not_finite_stops_training_and_is_named(value, store):
    with pytest.raises(FloatingPointError, match=rf"train/loss is {value} in epoch 2.*lower"):
        train(Learner([0.3, 0.8, 0.9], losses=[1.0, value, 1.0]), store)
    assert store.load()["epoch"] == 1  # the state before is still there


def test_validation_that_is_never_a_number_is_refused_with_advice(store):
    with pytest.raises(ValueError, match=r"validation/dice .* 2 epochs: .*labels and at the split"):
        train(Learner([nan, nan]), store)

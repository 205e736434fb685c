"""The training loop: epochs, validation, best weights, and continuation after an interruption."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lightning_fabric import Fabric

from slicefill.training.hardware import first_for_all
from slicefill.training.optimised_network import NOT_FINITE

logger = logging.getLogger(__name__)
State = dict[str, Any]


class StateStore(Protocol):
    """Keeps the state of a run, so that a killed run continues where it was."""

    def load(self) -> State | None:
        """Return the last state saved, or None."""

    def save(self, state: State) -> None:
        """Replace the state, whole or not at all."""


class Stateless:
    """Store of a training that is not continued, and for which there is no place."""

    def load(self) -> State | None:
        """Return None."""
        return None

    def save(self, state: State) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Run:
    """Connections of a training to the outside.

    Attributes:
        store: Keeps the state between epochs.
        report: Called after every epoch with its mean values and its number.
    """

    store: StateStore
    report: Callable[[Mapping[str, float], int], None]


def share_run(fabric: Fabric, run: Run) -> Run:
    """Share a run among the processes of a training: rank 0 reads for all, writes and reports."""
    if fabric.world_size == 1:
        return run
    return Run(_SharedStore(fabric, run.store), run.report if fabric.is_global_zero else ignore)


@dataclass(frozen=True)
class _SharedStore:
    fabric: Fabric
    store: StateStore

    def load(self) -> State | None:
        return first_for_all(self.fabric, self.store.load)

    def save(self, state: State) -> None:
        if self.fabric.is_global_zero:
            self.store.save(state)


def ignore(values: Mapping[str, float], epoch: int) -> None:
    """Report nothing (`Run.report`)."""


class Learner(Protocol):
    """Networks with their optimisers, and the data from which they learn.

    Everything random in an epoch must follow from its number, so that a resumed run gives the same
    result as one that was never interrupted.
    """

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch, numbered from 0; return the mean of every logged term."""

    def validate(self) -> dict[str, float]:
        """Score held-out cases."""

    def state(self) -> State:
        """Return plain values and tensors that `restore` continues from."""

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""

    def weights(self) -> Mapping[str, Any]:
        """Return the state dict of the network that is the result, or several by name."""


class Timer:
    """Measures the time spent on a run, in all its parts if it was interrupted.

    It starts when it is made. What is learned within a limit of time depends on the machine.

    Args:
        limit: Minutes that the run may take.
        fabric: Of the run; the clock of rank 0 counts for all processes.
    """

    def __init__(self, limit: float, fabric: Fabric) -> None:
        self._limit, self._fabric = limit, fabric
        self._began = time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes spent on the run so far, by the clock of this process."""
        return (time.monotonic() - self._began) / 60

    def spent(self) -> float:
        """Return the fraction of the limit that the run has used, the same for all processes."""
        return first_for_all(self._fabric, lambda: self.minutes) / self._limit

    def restore(self, minutes: float) -> None:
        """Continue as if so many minutes had been spent already."""
        self._began = time.monotonic() - 60 * minutes


@dataclass(frozen=True)
class Schedule:
    """Length of a run, and which epoch it keeps.

    Attributes:
        epochs: Maximum number of epochs.
        patience: Epochs in a row that may be no better than the best; one more ends the run.
        score: Name of the validation value to maximise; None keeps the last epoch, for training
            whose aim no validation value measures.
        pretraining: The first epochs, in which validation is not expected to become better:
            patience begins after them.
        timer: Limit on the time of the run; None: no limit.
        validate_start: Validate what training starts from, as epoch 0: it is kept if no epoch is
            better.
    """

    epochs: int
    patience: int
    score: str | None
    pretraining: int = 0
    timer: Timer | None = None
    validate_start: bool = False


@dataclass
class Progress:
    """Progress of a run.

    Attributes:
        epoch: Epochs done.
        best: Best validation so far: `score`, `epoch`, the `values` of that epoch, and the
            `weights` that reached it, on the CPU.
        history: One row per epoch and logged term.
    """

    epoch: int = 0
    best: State = field(default_factory=lambda: {"score": float("-inf"), "epoch": 0})
    history: list[dict[str, float | str]] = field(default_factory=list)

    def add(self, values: Mapping[str, float], score: float, learner: Learner) -> None:
        """Add the epoch just done: to the history, and as the best if its score is higher."""
        if score > self.best["score"]:  # nan is never the best
            weights = _copy_to_cpu(learner.weights())
            self.best = {
                "score": score,
                "epoch": self.epoch,
                "values": dict(values),
                "weights": weights,
            }
        self.history += [
            {"epoch": self.epoch, "term": name, "value": value} for name, value in values.items()
        ]


def fit(learner: Learner, schedule: Schedule, run: Run, fingerprint: str) -> Progress:
    """Train until the epochs, the patience or the time are over.

    The state is saved after every epoch together with `fingerprint`; a run with the same
    fingerprint continues from it.

    Args:
        learner: What is trained.
        schedule: Its length, and what is best.
        run: State store and reporter.
        fingerprint: Of parameters and data.

    Returns:
        The progress at the end.

    Raises:
        FloatingPointError: If a logged term stops being finite; names the term.
        ValueError: If the score was not a number in any epoch.
    """
    progress = _resume(learner, schedule, run.store, fingerprint)
    starts = schedule.validate_start and not progress.history
    while starts or not _finished(progress, schedule):
        values: dict[str, float] = {}
        if not starts:
            values = learner.train_epoch(progress.epoch)
            _require_finite(values, progress.epoch)
            progress.epoch += 1
        starts = False
        values |= learner.validate()
        score = values[schedule.score] if schedule.score else float(progress.epoch)
        progress.add(values, score, learner)
        run.report(values, progress.epoch)
        minutes = {"minutes": schedule.timer.minutes} if schedule.timer else {}
        state = {
            **vars(progress),
            **minutes,
            "learner": learner.state(),
            "fingerprint": fingerprint,
        }
        run.store.save(state)
    if "weights" not in progress.best:
        msg = (
            f"{schedule.score} was not a number in any of {progress.epoch} epochs: expected "
            "validation cases that can be scored; look at their labels and at the split"
        )
        raise ValueError(msg)
    return progress


def _copy_to_cpu(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a state dict, or several by name, to the CPU."""
    return {
        name: _copy_to_cpu(value) if isinstance(value, Mapping) else value.detach().cpu().clone()
        for name, value in weights.items()
    }


def last_state(store: StateStore, fingerprint: str) -> State | None:
    """Return the state to continue from; None if there is none, or it is of another run."""
    state = store.load()
    if state is None:
        return None
    if state["fingerprint"] != fingerprint:
        logger.warning("the last state has other parameters or cases: training starts anew")
        return None
    logger.info("training continues after epoch %d", state["epoch"])
    return state


def _resume(learner: Learner, schedule: Schedule, store: StateStore, fingerprint: str) -> Progress:
    state = last_state(store, fingerprint)
    if state is None:
        return Progress()
    learner.restore(state["learner"])
    if schedule.timer is not None:
        schedule.timer.restore(state["minutes"])
    return Progress(state["epoch"], state["best"], state["history"])


def _finished(progress: Progress, schedule: Schedule) -> bool:
    waited = progress.epoch - max(progress.best["epoch"], schedule.pretraining)
    return (
        progress.epoch >= schedule.epochs
        or waited > schedule.patience
        or (schedule.timer is not None and schedule.timer.spent() >= 1)
    )


def _require_finite(values: Mapping[str, float], epoch: int) -> None:
    for name, value in values.items():
        if not abs(value) < float("inf"):
            msg = f"{name} is {value} in epoch {epoch + 1}: expected a finite number; {NOT_FINITE}"
            raise FloatingPointError(msg)

"""Training of the network of reformatted planes on volumes whose every slice is known."""

from typing import Any

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.reformatted.learner import PlaneData, PlaneLearner
from slicefill.imputation.methods.reformatted.params import ReformattedParams
from slicefill.training.fit import Run, Schedule, State, fit
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint

KIND = "reformatted"


def training_fingerprint(data: PlaneData, params: ReformattedParams) -> str:
    """Return the fingerprint of all that training depends on."""
    cases = [
        {name: promise.fingerprint for name, promise in part.items()}
        for part in (data.training, data.validation)
    ]
    return fingerprint(params.in_force, *cases)


def train(data: PlaneData, params: ReformattedParams, run: Run) -> Checkpoint:
    """Train on one device; the state is saved after every epoch, and a stopped run goes on from it.

    Args:
        data: Volumes.
        params: Every number of the run.
        run: State keeper and reporter.

    Returns:
        The checkpoint of the last epoch, plain values and tensors: `kind`, `weights`, `network`,
        `channels`, `window`, `epoch`, `validation`, `history`, `fingerprint`, `version`.
    """
    options = params.optimisation
    learner = PlaneLearner(launch_fabric(params.hardware), data, params)
    schedule = Schedule(options.epochs, options.epochs, None)
    own = training_fingerprint(data, params)
    progress = fit(learner, schedule, run, own)
    return make_checkpoint(progress.best, progress.history, params, own)


def make_checkpoint(
    best: State, history: list[Any], params: ReformattedParams, own: str
) -> Checkpoint:
    """Make the checkpoint of an epoch of a training, with the entries of `train`."""
    return {
        "kind": KIND,
        "weights": best["weights"],
        "network": params.network.model_dump(mode="json"),
        "channels": 1,
        "window": params.window.model_dump(),
        "epoch": best["epoch"],
        "validation": {"gain": best["values"]["validation/gain"]},
        "history": history,
        "fingerprint": own,
        "version": __version__,
    }

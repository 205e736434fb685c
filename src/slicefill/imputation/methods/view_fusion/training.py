"""Training of view fusion on volumes whose every slice is known."""

from typing import Any

from slicefill import __version__
from slicefill.fingerprint import fingerprint, weights_fingerprint
from slicefill.imputation.methods.view_fusion.learner import FusionData, FusionLearner
from slicefill.imputation.methods.view_fusion.params import ViewFusionParams
from slicefill.training.fit import Run, Schedule, State, Timer, fit
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint

KIND = "view_fusion"
_SCORE = "validation/psnr"


def training_fingerprint(data: FusionData, params: ViewFusionParams) -> str:
    """Return the fingerprint of all that training depends on but its length."""
    cases = [
        {name: promise.fingerprint for name, promise in part.items()}
        for part in (data.training, data.validation)
    ]
    return fingerprint(params.in_force, *cases, weights_fingerprint(data.motion["weights"]))


def train(data: FusionData, params: ViewFusionParams, run: Run) -> Checkpoint:
    """Train view fusion on one device.

    The state is saved after every epoch; a run with the same data and parameters continues from it,
    also where `minutes`, `decay` or `epochs` have changed.

    Args:
        data: Volumes, and the network whose slices are a candidate.
        params: Every number of the run.
        run: State keeper and reporter.

    Returns:
        The checkpoint of the best epoch, plain values and tensors: `kind`, `weights`, `network`,
        `motion`, `channels`, `window`, `epoch`, `validation`, `history`, `fingerprint`, `version`.
    """
    options = params.optimisation
    fabric = launch_fabric(params.hardware)
    timer = None if options.minutes is None else Timer(options.minutes, fabric)
    learner = FusionLearner(fabric, data, params, timer)
    schedule = Schedule(options.epochs, options.epochs, _SCORE, timer=timer, validate_start=True)
    own = training_fingerprint(data, params)
    progress = fit(learner, schedule, run, own)
    return make_checkpoint(progress.best, progress.history, data.motion, params, own)


def make_checkpoint(
    best: State, history: list[Any], motion: Checkpoint, params: ViewFusionParams, own: str
) -> Checkpoint:
    """Make the checkpoint of the best epoch of a training, with the entries of `train`."""
    return {
        "kind": KIND,
        "weights": best["weights"],
        "network": params.network.model_dump(),
        "motion": {name: motion[name] for name in ("channels", "network", "parts")},
        "channels": motion["channels"],
        "window": params.window.model_dump(),
        "epoch": best["epoch"],
        "validation": {"psnr": best["score"]},
        "history": history,
        "fingerprint": own,
        "version": __version__,
    }

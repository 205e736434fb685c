"""Training of Slice Imputation on anisotropic volumes alone."""

import logging
from collections.abc import Mapping
from functools import partial

from lightning_fabric import Fabric

from slicefill import __version__
from slicefill.fingerprint import fingerprint, weights_fingerprint
from slicefill.imputation.methods.slice_imputation.learner import SynthesisLearner
from slicefill.imputation.methods.slice_imputation.losses import require_terms
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training_set import (
    TrainingData,
    TrainingSet,
    gather_training_set,
)
from slicefill.training.fit import Progress, Run, Schedule, Timer, fit, share_run
from slicefill.training.hardware import launch, launch_fabric
from slicefill.types import Checkpoint, Promise

logger = logging.getLogger(__name__)
KIND = "slice_imputation"
_PSNR = "validation/psnr"


def training_fingerprint(data: TrainingData, params: SynthesisParams) -> str:
    """Return the fingerprint of all that a trained model depends on, as in its checkpoint.

    These are parameters, cases, slice axis and start. By it a run knows its own last state.

    Raises:
        ValueError: If there is no loss term for a λ.
    """
    for preset, weights in params.weights.items():
        require_terms(weights, f"synthesis.weights.{preset}")
    cases = _fingerprints(data.training), _fingerprints(data.validation)
    start = [] if data.start is None else [weights_fingerprint(data.start["weights"])]
    return fingerprint(params.in_force, *cases, data.axis, *start)


def train(data: TrainingData, params: SynthesisParams, run: Run) -> Checkpoint:
    """Train a synthesis network, on one device or several.

    The state is saved after every epoch together with the fingerprint of parameters and cases; a
    run with the same fingerprint continues from it and ends with the same weights as one that was
    never interrupted, unless its time is limited.

    Args:
        data: Anisotropic cases; needs no isotropic data, and labels only for the object classifier.
        params: Every number of the run.
        run: State keeper and reporter; picklable, as the data, where there are several devices.

    Returns:
        The checkpoint of the epoch that is kept, as `train_on` makes it.

    Raises:
        ValueError: If there is no loss term for a λ, or no case gives a group of the configured N.
        FloatingPointError: If a loss term stops being finite; names the term.
    """
    own = training_fingerprint(data, params)
    work = partial(_gather_and_train, data=data, params=params, run=run, own=own)
    return launch(params.hardware, work)


def train_on(training_set: TrainingSet, params: SynthesisParams, run: Run, own: str) -> Checkpoint:
    """Train on a set that was gathered before.

    Args:
        training_set: Views and groups.
        params: Every number of the run; on one device.
        run: State keeper and reporter.
        own: The fingerprint that tells the states of this run from those of others.

    Returns:
        The checkpoint of the epoch that is kept, as plain values and tensors: `kind`, `weights`,
        `critics` (state dicts), `network`, `parts`, `channels`, `critic_width`, `window`, `epoch`,
        `validation` (`psnr`, dB, and `ssim`), `history`, `fingerprint`, `version`.

    Raises:
        ValueError: If several devices are asked for, which `train` alone can start.
    """
    return _train(launch_fabric(params.hardware), training_set, params, run, own)


def make_checkpoint(
    progress: Progress, channels: int, params: SynthesisParams, own: str
) -> Checkpoint:
    """Make the checkpoint of the epoch that a training keeps, with the entries of `train_on`."""
    best = progress.best
    validation = {name: best["values"][f"validation/{name}"] for name in ("psnr", "ssim")}
    return {
        "kind": KIND,
        "weights": best["weights"]["synthesis"],
        "critics": best["weights"].get("critics", {}),
        "network": params.network.model_dump(),
        "parts": params.parts.model_dump(),
        "channels": channels,
        "critic_width": params.critic_width,
        "window": params.window.model_dump(),
        "epoch": best["epoch"],
        "validation": validation,
        "history": progress.history,
        "fingerprint": own,
        "version": __version__,
    }


def _gather_and_train(
    fabric: Fabric, data: TrainingData, params: SynthesisParams, run: Run, own: str
) -> Checkpoint:
    return _train(fabric, gather_training_set(data, params), params, run, own)


def _train(
    fabric: Fabric, training_set: TrainingSet, params: SynthesisParams, run: Run, own: str
) -> Checkpoint:
    options, pretraining = params.optimisation, params.pretraining_epochs
    timer = None if options.minutes is None else Timer(options.minutes, fabric)
    schedule = Schedule(
        pretraining + options.epochs,
        options.patience,
        None if params.keeps_last else _PSNR,
        pretraining=pretraining,
        timer=timer,
        validate_start=True,
    )
    learner = SynthesisLearner(fabric, training_set, params, timer)
    progress = fit(learner, schedule, share_run(fabric, run), own)
    _warn_unless_better(progress, training_set, params)
    return make_checkpoint(progress, training_set.cache.channels, params, own)


def _warn_unless_better(
    progress: Progress, training_set: TrainingSet, params: SynthesisParams
) -> None:
    """Warn if training gained nothing on the held-out slices."""
    psnr = {
        int(row["epoch"]): float(row["value"]) for row in progress.history if row["term"] == _PSNR
    }
    kept = progress.best["epoch"]
    if kept > params.pretraining_epochs and psnr[kept] > psnr[0]:
        return
    logger.warning(
        "%s on the held-out slices than the start (%s)%s; train longer, or lower the learning rate",
        "the last epoch is no better" if params.keeps_last else "no epoch was better",
        "linear interpolation" if training_set.start is None else "the weights given",
        "" if params.keeps_last else ", which is kept",
    )


def _fingerprints(cases: Mapping[str, Promise]) -> dict[str, str]:
    return {case: promise.fingerprint for case, promise in cases.items()}

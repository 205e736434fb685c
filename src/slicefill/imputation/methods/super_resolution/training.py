"""Training a super-resolution baseline on isotropic cases."""

from collections.abc import Mapping
from functools import partial

from lightning_fabric import Fabric

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.super_resolution.learner import (
    SuperResolutionLearner,
    has_adversary,
)
from slicefill.imputation.methods.super_resolution.pairs import StackCache
from slicefill.imputation.methods.super_resolution.params import Params
from slicefill.training.fit import Run, Schedule, fit, share_run
from slicefill.training.hardware import launch
from slicefill.types import Checkpoint, Promise

_SCORE = "validation/psnr"


def train_network(
    training: Mapping[str, Promise], validation: Mapping[str, Promise], params: Params, run: Run
) -> Checkpoint:
    """Train a network, on one device or several.

    Args:
        training: Isotropic cases: their slices are the truth that every R-th of them is raised
            to.
        validation: Isotropic cases of other subjects.
        params: Every number of the run.
        run: State keeper and reporter; picklable, as the cases, where there are several devices.

    Returns:
        The checkpoint of the epoch with the best validation PSNR; of ESRGAN that of the last
        epoch, since training against a critic gives up PSNR for sharpness by design. Plain
        values and tensors: `kind`, `weights`, `network`, `window`, `channels`, `factor`, `epoch`,
        `validation`, `history`, `fingerprint`, `version`.

    Raises:
        ValueError: If the factor is 1, or cases are missing, too thin, or differ in their channels.
        FloatingPointError: If a loss term stops being finite.
    """
    if params.factor == 1:
        msg = (
            f"super_resolution.factor: expected 2 or more to train {params.network.kind}, got 1; "
            "anisotropic scans hold no pairs of low and high resolution: leave it out"
        )
        raise ValueError(msg)
    cases = (training, validation)
    return launch(params.hardware, partial(_train, cases=cases, params=params, run=run))


def _train(
    fabric: Fabric,
    cases: tuple[Mapping[str, Promise], Mapping[str, Promise]],
    params: Params,
    run: Run,
) -> Checkpoint:
    training, validation = (StackCache(part, params) for part in cases)
    learner = SuperResolutionLearner(fabric, training, validation, params)
    own = network_fingerprint(*cases, params)
    progress = fit(learner, _schedule(params), share_run(fabric, run), own)
    epoch = progress.best["epoch"]
    psnr = [row for row in progress.history if (row["epoch"], row["term"]) == (epoch, _SCORE)]
    return {
        "kind": "super_resolution",
        "weights": progress.best["weights"],
        "network": params.network.model_dump(),
        "window": params.window.model_dump(),
        "channels": training.channels,
        "factor": params.factor,
        "epoch": epoch,
        "validation": {"psnr": psnr[0]["value"]},
        "history": progress.history,
        "fingerprint": own,
        "version": __version__,
    }


def _schedule(params: Params) -> Schedule:
    epochs = params.optimisation.epochs
    if not has_adversary(params):
        return Schedule(epochs, patience=epochs, score=_SCORE)
    epochs += params.optimisation.adversarial_epochs
    return Schedule(epochs, patience=epochs, score=None)


def network_fingerprint(
    training: Mapping[str, Promise], validation: Mapping[str, Promise], params: Params
) -> str:
    """Return the fingerprint of all that a trained network depends on, as in its checkpoint."""
    cases = [
        {case: promise.fingerprint for case, promise in part.items()}
        for part in (training, validation)
    ]
    return fingerprint("super_resolution", params, *cases)

"""Training of probabilistic imputation on volumes whose every slice is known."""

import logging
from collections.abc import Mapping

import numpy as np

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.geometry import through_plane_axis
from slicefill.imputation.methods.probabilistic.learner import SamplingLearner
from slicefill.imputation.methods.probabilistic.params import Params
from slicefill.imputation.methods.probabilistic.windows import KnownVolumes
from slicefill.training.fit import Run, Schedule, fit
from slicefill.training.hardware import launch_fabric
from slicefill.types import Case, Checkpoint, Promise

logger = logging.getLogger(__name__)
Parts = Mapping[str, Mapping[str, Promise]]
KIND = "probabilistic"
_MOST_LABELS = 12


def training_fingerprint(parts: Parts, params: Params) -> str:
    """Return the fingerprint of all that a trained network depends on."""
    cases = [
        {case: promise.fingerprint for case, promise in parts[name].items()}
        for name in ("train", "validation")
    ]
    return fingerprint(KIND, "spread_powers", params, *cases)  # what a checkpoint of it holds


def train(parts: Parts, params: Params, run: Run) -> Checkpoint:
    """Train on one device, and fit the spread on the validation cases.

    Args:
        parts: Cases whose every slice is known, `train` and `validation`.
        params: Every number of the run.
        run: State keeper and reporter.

    Returns:
        The checkpoint of the last epoch, plain values and tensors: `kind`, `weights`, `network`,
        `ids`, `samples`, `spread_powers`, `grain`, `window`, `epoch`, `validation`, `history`,
        `fingerprint`, `version`.

    Raises:
        ValueError: If cases are missing, or all have too few slices.
        FloatingPointError: If a loss term stops being finite.
    """
    options, own = params.optimisation, training_fingerprint(parts, params)
    parts = {name: long_enough(parts[name], params, name) for name in ("train", "validation")}
    fabric = launch_fabric(params.hardware)
    ids = find_ids(parts["train"])
    known = {name: KnownVolumes(parts[name], ids, params) for name in ("train", "validation")}
    learner = SamplingLearner(fabric, known["train"], known["validation"], ids, params)
    progress = fit(learner, Schedule(options.epochs, options.epochs, None), run, own)
    best = progress.best  # the last: PSNR would choose samples that do not differ
    powers, grain = learner.calibrate(best["weights"])
    return {
        "kind": KIND,
        "weights": best["weights"],
        "network": params.network.model_dump(),
        "ids": list(ids),
        "samples": params.samples,
        "spread_powers": list(powers),
        "grain": grain,
        "window": params.window.model_dump(),
        "epoch": best["epoch"],
        "validation": {"psnr": best["values"]["validation/psnr"]},
        "history": progress.history,
        "fingerprint": own,
        "version": __version__,
    }


def long_enough(cases: Mapping[str, Promise], params: Params, part: str) -> dict[str, Promise]:
    """Leave out, with a message, what shows less than two slices at the largest factor.

    Raises:
        ValueError: If nothing is left.
    """
    least = 2 * max(params.windows.factors)  # the first slice that is seen is any of the factor
    counts = {name: _count_slices(promise.make(), params) for name, promise in cases.items()}
    short = [f"{name} ({count})" for name, count in counts.items() if count < least]
    remedy = "lower probabilistic.windows.factors"
    if len(short) == len(cases):
        msg = (
            f"probabilistic: expected {part} cases of {least} slices or more, got "
            f"{', '.join(short) or 'none'}: {remedy}, or add longer cases"
        )
        raise ValueError(msg)
    if short:
        logger.warning(
            "probabilistic: %d %s case(s) of fewer than %d slices are left out: %s; to learn from "
            "them, %s", len(short), part, least, ", ".join(short), remedy,
        )  # fmt: skip
    return {name: promise for name, promise in cases.items() if counts[name] >= least}


def _count_slices(case: Case, params: Params) -> int:
    axis = through_plane_axis(case.image.affine, params.through_plane)
    return int(case.image.stored.shape[axis])


def find_ids(cases: Mapping[str, Promise]) -> tuple[int, ...]:
    """Find the labels that are learned from, the background aside; none where there are many."""
    found: set[int] = set()
    for promise in cases.values():
        label = promise.make().label
        found |= set() if label is None else set(np.unique(label.stored).astype(int).tolist())
    found -= {0}
    if len(found) > _MOST_LABELS:
        logger.warning(
            "probabilistic: %d labels, more than %d: they are not sampled, but those of "
            "shape_matched",
            len(found),
            _MOST_LABELS,
        )
        return ()
    return tuple(sorted(found))

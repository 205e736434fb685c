"""Methods that learn from the scans of a set before they impute them: adaptation, SI from scratch.

Both use only the acquired slices of these scans, and store their model in a file.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from real_sets import Design, Scan, read_pair

from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.adapted.adaptation import (
    Scans,
    adapt,
    adaptation_fingerprint,
    divide,
)
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.imputation.methods.slice_imputation.training import train, training_fingerprint
from slicefill.imputation.methods.slice_imputation.training_set import TrainingData
from slicefill.io.checkpoints import StateFile, read_checkpoint
from slicefill.io.storage import location
from slicefill.training.fit import Run, Stateless, ignore
from slicefill.types import Case, Checkpoint, Promise

SCRATCH = "slice_imputation"
"""The paper's variant, as the environment of the set trains it, but for how long."""


def load_weights(file: Path | None) -> Checkpoint:
    """Read other weights, or the shipped ones."""
    return read_checkpoint(location(str(file))) if file else load_pretrained()


def subsampled_scans(design: Design, scans: Mapping[str, Scan]) -> Scans:
    """Promise the subsampled scans, without labels."""
    acquired_case = {
        case: Promise(partial(_subsampled, scan, design), fingerprint(case, design.subsampling))
        for case, scan in scans.items()
    }
    return Scans(acquired_case, {case: scan.subject for case, scan in scans.items()})


def learn_adapted(
    scans: Scans, start: Checkpoint, params: AdaptationParams, store: StateFile
) -> Checkpoint:
    """Adapt weights to anisotropic scans, or read the model of an earlier run."""
    mark = adaptation_fingerprint(scans, start, params)
    return _kept(store, mark, partial(adapt, scans, start, params, _unattended()))


def learn_from_scratch(
    scans: Scans, design: Design, minutes: float, store: StateFile
) -> Checkpoint:
    """Train Slice Imputation on scans for some minutes, or read the model of an earlier run.

    Scans are drawn and held out as in adaptation, so that both use the same slices.
    """
    adaptation = design.adaptation
    drawn = scans.draw(adaptation.cases, adaptation.optimisation.seed)
    divided = divide(drawn, channels=1, params=adaptation)
    data = TrainingData(divided.training, divided.held_out, adaptation.through_plane)
    unlimited = {"minutes": minutes, "epochs": 1000, "patience": 1000}
    optimisation = design.synthesis.optimisation.model_copy(update=unlimited)
    params = design.synthesis.model_copy(update={"optimisation": optimisation})
    return _kept(
        store, training_fingerprint(data, params), partial(train, data, params, _unattended())
    )


def _kept(store: StateFile, mark: str, learn: Callable[[], Checkpoint]) -> Checkpoint:
    kept = store.load()
    if kept is None or kept["fingerprint"] != mark:
        kept = learn()
        store.save(kept)
    return kept


def _unattended() -> Run:
    return Run(Stateless(), ignore)


def _subsampled(scan: Scan, design: Design) -> Case:
    acquired_case = read_pair(scan, design)[1]
    return Case(acquired_case.image, record=acquired_case.record)

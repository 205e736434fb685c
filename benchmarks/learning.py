"""What learns from the thick scans of a set before they are filled: adaptation, SI from scratch.

Both see the acquired slices of those very scans alone, and keep what they learned in a file.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from real_sets import Design, Scan, read_pair
from synthetic_slices import Forgetful

from slicefill.datasets.checkpoints import Slot, read_checkpoint
from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.adapted.adaptation import Scans, adapt, adaptation_mark, divide
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.imputation.methods.slice_imputation.train import TrainingData, train, training_mark
from slicefill.io.storage import location
from slicefill.params import AdaptationParams
from slicefill.training.fit import Run
from slicefill.types import Case, Checkpoint, Promise

SCRATCH = "slice_imputation"
"""The paper's variant, as the environment of the set trains it, but for how long."""


def load_weights(file: Path | None) -> Checkpoint:
    """Read other weights, or the shipped ones."""
    return read_checkpoint(location(str(file))) if file else load_pretrained()


def thick_scans(design: Design, scans: Mapping[str, Scan]) -> Scans:
    """Promise what is left of scans when slices are removed; labels are not there to learn from."""
    thick = {
        case: Promise(partial(_thick, scan, design), fingerprint(case, design.thinning))
        for case, scan in scans.items()
    }
    return Scans(thick, {case: scan.person for case, scan in scans.items()})


def learn_adapted(
    scans: Scans, start: Checkpoint, params: AdaptationParams, slot: Slot
) -> Checkpoint:
    """Adapt weights to thick scans, or read what an earlier run adapted so."""
    mark = adaptation_mark(scans, start, params)
    return _kept(slot, mark, partial(adapt, scans, start, params, _unattended()))


def learn_from_scratch(scans: Scans, design: Design, minutes: float, slot: Slot) -> Checkpoint:
    """Train Slice Imputation on thick scans for so long, or read what an earlier run trained so.

    Scans are drawn and held out as adaptation does it, so that both see the same slices.
    """
    adaptation = design.adaptation
    drawn = scans.draw(adaptation.cases, adaptation.optimisation.seed)
    divided = divide(drawn, channels=1, params=adaptation)
    data = TrainingData(divided.training, divided.held_out, adaptation.through_plane)
    unlimited = {"minutes": minutes, "epochs": 1000, "patience": 1000}
    optimisation = design.synthesis.optimisation.model_copy(update=unlimited)
    params = design.synthesis.model_copy(update={"variant": SCRATCH, "optimisation": optimisation})
    return _kept(slot, training_mark(data, params), partial(train, data, params, _unattended()))


def _kept(slot: Slot, mark: str, learn: Callable[[], Checkpoint]) -> Checkpoint:
    kept = slot.load()
    if kept is None or kept["fingerprint"] != mark:
        kept = learn()
        slot.save(kept)
    return kept


def _unattended() -> Run:
    return Run(Forgetful(), lambda values, epoch: None)


def _thick(scan: Scan, design: Design) -> Case:
    thick = read_pair(scan, design)[1]
    return Case(thick.image, record=thick.record)

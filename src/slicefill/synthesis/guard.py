"""Are other weights better on slices that were held out? Measured pair by pair."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.hardware import launch_fabric
from slicefill.params import SynthesisParams
from slicefill.synthesis.checkpoint import load_model
from slicefill.synthesis.train import Material
from slicefill.synthesis.validation import score_groups
from slicefill.types import Checkpoint


def compare(
    start: Checkpoint, trained: Checkpoint, material: Material, params: SynthesisParams
) -> dict[str, Any]:
    """Compare two checkpoints on the same held-out groups, pair by pair.

    Returns:
        `gain_db`, the mean over the kinds of group; and by kind the mean gain in PSNR (dB), its
        standard error (None of one group), the number of groups and the share that are better.
    """
    fabric = launch_fabric(params.hardware)
    before, after = (
        score_groups(
            fabric.setup_module(load_model(checkpoint)), material.held_out, material.scored
        )
        for checkpoint in (start, trained)
    )
    names = [name for name in before if name.startswith("psnr/")]
    kinds = {
        name.removeprefix("psnr/"): _paired(np.subtract(after[name], before[name]))
        for name in names
    }
    mean = float(np.mean([kind["gain_db"] for kind in kinds.values()]))
    return {"gain_db": mean, "kinds": kinds}


def _paired(gains: NDArray[np.float64]) -> dict[str, float | None]:
    count = len(gains)
    error = float(gains.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return {
        "gain_db": float(gains.mean()),
        "standard_error": error,
        "groups": count,
        "better": float((gains > 0).mean()),
    }

"""Are other weights better on slices that were held out? Measured pair by pair."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from slicefill.imputation.methods.slice_imputation.checkpoint import load_model
from slicefill.imputation.methods.slice_imputation.training import Material
from slicefill.imputation.methods.slice_imputation.validation import score_groups
from slicefill.params import AdaptationParams, SynthesisParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint


def compare(
    start: Checkpoint, trained: Checkpoint, material: Material, params: SynthesisParams
) -> dict[str, Any]:
    """Compare two checkpoints on the same held-out groups, pair by pair.

    Returns:
        `gain_db`, the mean over the kinds of group; and by kind the mean gain in PSNR (dB), its
        standard error (None of one group), the number of groups, the share that are better, and
        how likely such gains are by chance (p of Wilcoxon's signed-rank test, one-sided; groups of
        one scan are not independent, so that it is a yardstick, not a proof).
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


def paid(kinds: Mapping[str, Mapping[str, Any]], params: AdaptationParams) -> bool:
    """Whether the gain of every kind is large enough, and hardly chance.

    Args:
        kinds: As `compare` found them.
        params: The least gain and the largest p.

    Example:
        >>> asked = AdaptationParams.model_construct(least_gain=0.05, largest_p=0.01)
        >>> paid({"in_plane": {"gain_db": 0.2, "p": 0.001}}, asked)
        True
        >>> paid({"in_plane": {"gain_db": 0.2, "p": 0.02}}, asked)
        False
    """
    return all(
        kind["gain_db"] >= params.least_gain and kind["p"] <= params.largest_p
        for kind in kinds.values()
    )


def _paired(gains: NDArray[np.float64]) -> dict[str, float | None]:
    count = len(gains)
    error = float(gains.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return {
        "gain_db": float(gains.mean()),
        "standard_error": error,
        "groups": count,
        "better": float((gains > 0).mean()),
        "p": float(wilcoxon(gains, alternative="greater").pvalue) if gains.any() else 1.0,
    }

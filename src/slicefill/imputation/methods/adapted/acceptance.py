"""Whether adapted weights are better than the shipped ones on held-out slices."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.slice_imputation.model import load_model
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training_set import TrainingSet, score_groups
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint


def compare_weights(
    start: Checkpoint, trained: Checkpoint, training_set: TrainingSet, params: SynthesisParams
) -> dict[str, Any]:
    """Compare two checkpoints on the same held-out groups, in pairs.

    Returns:
        `gain_db`, the mean over the kinds of group; and by kind the mean gain in PSNR (dB), its
        standard error (None of one group), the number of groups, the fraction that are better, and
        p of Wilcoxon's one-sided signed-rank test (a yardstick, not a proof: groups of one scan are
        not independent).
    """
    fabric = launch_fabric(params.hardware)
    before, after = (
        score_groups(
            fabric.setup_module(load_model(checkpoint)), training_set.held_out, training_set.scored
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


def is_accepted(kinds: Mapping[str, Mapping[str, Any]], params: AdaptationParams) -> bool:
    """Whether the gain of every kind of group is large enough, and unlikely by chance.

    Args:
        kinds: As `compare_weights` returned them.
        params: The least gain and the largest p.

    Example:
        >>> asked = AdaptationParams.model_construct(least_gain=0.05, largest_p=0.01)
        >>> is_accepted({"in_plane": {"gain_db": 0.2, "p": 0.001}}, asked)
        True
        >>> is_accepted({"in_plane": {"gain_db": 0.2, "p": 0.02}}, asked)
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

"""Whether adapted weights are better than the shipped ones on held-out slices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from slicefill.imputation.methods.adapted.held_out_labels import score_held_out_labels
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.slice_imputation.model import load_model
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training_set import TrainingSet, score_groups
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint, Promise

_FALLS = 0.05
"""p of a fall at or below which it is none by chance; stricter than for a gain."""


def compare_weights(
    start: Checkpoint, trained: Checkpoint, training_set: TrainingSet, params: SynthesisParams
) -> dict[str, Any]:
    """Compare two checkpoints on the same held-out groups, in pairs.

    Returns:
        `gain_db`, the mean over the kinds of group; and by kind the mean gain in PSNR (dB), its
        standard error (None of one group), the number of groups, the fraction that are better, p
        of Wilcoxon's one-sided signed-rank test (a yardstick, not a proof: groups of one scan are
        not independent), the mean gain in SSIM, `ssim_gain`, and p that it fell, `ssim_fall_p`.
    """
    fabric = launch_fabric(params.hardware)
    before, after = (
        score_groups(
            fabric.setup_module(load_model(checkpoint)), training_set.held_out, training_set.scored
        )
        for checkpoint in (start, trained)
    )
    gains = {name: np.subtract(after[name], before[name]) for name in before}
    kinds = {
        kind: {**_paired(own), **_change("ssim", gains[f"ssim/{kind}"])}
        for name, own in gains.items()
        if (kind := name.removeprefix("psnr/")) != name
    }
    mean = float(np.mean([kind["gain_db"] for kind in kinds.values()]))
    return {"gain_db": mean, "kinds": kinds}


def compare_labels(
    start: Checkpoint,
    trained: Checkpoint,
    held_out: Mapping[str, Promise],
    params: SynthesisParams,
) -> dict[str, Any] | None:
    """Compare the labels that two checkpoints predict for held-out slices, in pairs.

    Returns:
        `slices`, how many were predicted, the mean gain in Dice, `dice_gain`, and p that it fell,
        `dice_fall_p`; None where there are no labels.
    """
    before, after = (score_held_out_labels(each, held_out, params) for each in (start, trained))
    return compare_dice(before, after)


def compare_dice(before: Sequence[float], after: Sequence[float]) -> dict[str, Any] | None:
    """Compare Dice of the same slices before and after, as `compare_labels` does.

    Example:
        >>> compare_dice([0.9, 0.8], [0.9, 0.8])
        {'slices': 2, 'dice_gain': 0.0, 'dice_fall_p': 1.0}
    """
    if not before:
        return None
    return {"slices": len(before), **_change("dice", np.subtract(after, before))}


def list_objections(
    kinds: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, Any] | None,
    params: AdaptationParams,
) -> list[str]:
    """Say what speaks against adapted weights; nothing where they are to be used.

    PSNR of every kind of group must gain enough, and not by chance. SSIM of no kind, and Dice of
    labels, may fall by more than chance.

    Args:
        kinds: As `compare_weights` returned them.
        labels: As `compare_labels` returned them.
        params: The least gain and the largest p.

    Example:
        >>> asked = AdaptationParams.model_construct(least_gain=0.05, largest_p=0.01)
        >>> found = {"gain_db": 0.2, "p": 0.001, "ssim_gain": -0.002, "ssim_fall_p": 0.004}
        >>> list_objections({"in_plane": found}, None, asked)
        ['SSIM falls on in_plane slices (-0.0020, p = 0.004)']
    """
    said = []
    if not all(
        kind["gain_db"] >= params.least_gain and kind["p"] <= params.largest_p
        for kind in kinds.values()
    ):
        said.append(
            f"not every kind of held-out slices gains {params.least_gain:g} dB "
            f"(adaptation.least_gain) with p <= {params.largest_p:g} (largest_p)"
        )
    said += [
        f"SSIM falls on {name} slices ({kind['ssim_gain']:+.4f}, p = {kind['ssim_fall_p']:.2g})"
        for name, kind in kinds.items()
        if kind["ssim_fall_p"] <= _FALLS
    ]
    if labels is not None and labels["dice_fall_p"] <= _FALLS:
        gain, p = labels["dice_gain"], labels["dice_fall_p"]
        said.append(f"labels of held-out slices are worse (Dice {gain:+.4f}, p = {p:.2g})")
    return said


def _change(metric: str, gains: NDArray[np.float64]) -> dict[str, float]:
    """Mean gain, and p that it is a fall: 1 where the mean does not fall."""
    mean = float(gains.mean())
    fell = float(wilcoxon(gains, alternative="less").pvalue) if mean < 0 else 1.0
    return {f"{metric}_gain": mean, f"{metric}_fall_p": fell}


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

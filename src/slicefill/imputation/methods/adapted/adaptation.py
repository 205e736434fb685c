"""Adaptation of the shipped weights to the scans that are imputed, if held-out slices gain."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from slicefill.fingerprint import fingerprint, weights_fingerprint
from slicefill.imputation.methods.adapted.acceptance import (
    compare_labels,
    compare_weights,
    list_objections,
)
from slicefill.imputation.methods.adapted.holding_out import Divided, Scans, divide
from slicefill.imputation.methods.adapted.params import GAINS, AdaptationParams
from slicefill.imputation.methods.adapted.sufficiency import (
    Counts,
    count_held_out,
    least_groups,
    list_remedies,
    too_few,
)
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.imputation.methods.slice_imputation.losses import require_terms
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training import train_on
from slicefill.imputation.methods.slice_imputation.training_set import (
    TrainingData,
    gather_training_set,
)
from slicefill.training.fit import Run
from slicefill.types import Checkpoint

logger = logging.getLogger(__name__)
_UNTRAINED = {"steps": 0, "best_epoch": 0}


def adaptation_fingerprint(scans: Scans, start: Checkpoint, params: AdaptationParams) -> str:
    """Return the fingerprint of all that adapted weights depend on, except the machine's speed.

    Raises:
        ValueError: If there is no loss term for a λ.
    """
    require_terms(params.weights, "adaptation.weights")
    cases = {
        case: [promise.fingerprint, scans.subjects[case]] for case, promise in scans.cases.items()
    }
    return fingerprint(params, weights_fingerprint(start["weights"]), cases)


def adapt(scans: Scans, start: Checkpoint, params: AdaptationParams, run: Run) -> Checkpoint:
    """Train given weights on scans, and use the result if it is better on held-out slices.

    Rows of an anisotropic scan are blurred, and slices across a double interval are far apart:
    both differ from what is imputed. Therefore the weights move only a fraction of the way
    (weights between those before and after fine-tuning are more robust to such a shift: Wortsman
    et al., CVPR 2022), and a gain counts only if it shows on both kinds of group.

    Args:
        scans: Those that will be imputed; channels beyond the model's are not used.
        start: The shipped weights.
        params: Every number.
        run: State keeper and reporter.

    Returns:
        A checkpoint whose entry `adaptation` says what was found. Its `kind` is `adapted`, or
        `pretrained` where it holds the given weights: because the others are not better on every
        kind of group, by `least_gain` and with a p of at most `largest_p`, or lower SSIM or Dice
        of labels, or because so little can be held out that no gain would have such a p; then
        nothing is trained.

    Raises:
        ValueError: If no group can be drawn, or a λ has no loss term.
    """
    own = adaptation_fingerprint(scans, start, params)
    drawn = scans.draw(params.cases, params.optimisation.seed)
    divided = divide(drawn, start["channels"], params)
    counts = count_held_out(divided, training_params(start, params))
    if too_few(counts, params.largest_p):
        made = {**start, "kind": PRETRAINED, "history": []}
        found = _undecided(counts, drawn, start, params)
    else:
        made, found = _learn(divided, start, params, run, own)
    shared = {
        "used": made["kind"],
        "learned_from": "the acquired slices of the scans that are imputed; no other truth",
        "scans": len(drawn.cases),
        "held_out": divided.by,
        "minutes": params.optimisation.minutes,
    }
    return {**made, "fingerprint": own, "adaptation": {**shared, **found}}


def _undecided(
    counts: Counts, scans: Scans, start: Checkpoint, params: AdaptationParams
) -> dict[str, Any]:
    """Say that nothing is trained, because no gain could be told from chance, and what would do."""
    few, needed = too_few(counts, params.largest_p), least_groups(params.largest_p)
    told = ", ".join(f"{count} {kind}" for kind, count in few.items())
    reason = (
        f"too little to tell: {told} group(s) of slices can be held out, and p <= "
        f"{params.largest_p:g} (adaptation.largest_p) needs {needed} of each kind"
    )
    remedies = list_remedies(partial(_count_under, scans, start), params)
    logger.warning(
        "adaptation: %s; nothing is trained, the shipped weights impute; what would do: %s",
        reason,
        "; or ".join([*(f"--params {each} (in a Kedro run)" for each in remedies), "more scans"]),
    )
    kinds = {kind: {**dict.fromkeys(GAINS), "groups": count} for kind, count in counts.items()}
    return {"reason": reason, "gain_db": None, "kinds": kinds, "labels": None, **_UNTRAINED}


def _count_under(scans: Scans, start: Checkpoint, params: AdaptationParams) -> Counts:
    """Count what would be held out under other parameters."""
    divided = divide(scans, start["channels"], params)
    return count_held_out(divided, training_params(start, params))


def _learn(
    divided: Divided, start: Checkpoint, params: AdaptationParams, run: Run, own: str
) -> tuple[Checkpoint, dict[str, Any]]:
    """Train, and keep what is better on what was held out; say what was gained."""
    synthesis = training_params(start, params)
    data = TrainingData(divided.training, divided.held_out, params.through_plane, start)
    training_set = gather_training_set(data, synthesis)
    trained = train_on(training_set, synthesis, run, own)
    steps = [row["value"] for row in trained["history"] if row["term"] == "train/steps"]
    trained["weights"] = between(start["weights"], trained["weights"], params.fraction)
    gains = compare_weights(start, trained, training_set, synthesis)
    labels = compare_labels(start, trained, divided.held_out, synthesis)
    objections = list_objections(gains["kinds"], labels, params)
    found = {
        "reason": "; ".join(objections) or _praise(labels, params),
        **gains,
        "labels": labels,
        "steps": int(max(steps, default=0)),
        "best_epoch": trained["epoch"],
    }
    accepted = not objections and trained["epoch"] > 0
    _log(found, accepted)
    if accepted:
        return {**start, **trained, "kind": ADAPTED}, found
    return {**start, "kind": PRETRAINED, "history": trained["history"]}, found


def _praise(labels: Mapping[str, Any] | None, params: AdaptationParams) -> str:
    neither = "SSIM does not fall" if labels is None else "neither SSIM nor Dice of labels falls"
    return (
        f"every kind of held-out slices has a gain of at least {params.least_gain:g} dB with "
        f"p <= {params.largest_p:g}, and {neither}"
    )


def between(
    start: Mapping[str, Tensor], trained: Mapping[str, Tensor], fraction: float
) -> dict[str, Tensor]:
    """Return weights that lie a fraction of the way from one state dict to another."""
    return {name: torch.lerp(weight, trained[name], fraction) for name, weight in start.items()}


def training_params(start: Checkpoint, params: AdaptationParams) -> SynthesisParams:
    """Take network, parts and window from the start, everything else from the adaptation."""
    weights = params.weights
    against_critics = weights.get("adv", 0.0) > 0
    shared = ("perceptual", "critic_width", "through_plane", "groups", "optimisation", "hardware")
    return SynthesisParams(
        parts={
            **start["parts"],
            "classifier": "joint",
            "tp_smooth": weights.get("tp_smooth", 0.0) > 0,
            "global_discriminator": against_critics,
            "local_discriminator": against_critics,
        },
        preset=ADAPTED,
        weights={ADAPTED: weights},
        network=start["network"],
        window=start["window"],
        **{name: getattr(params, name) for name in shared},
    )


def _log(found: Mapping[str, Any], accepted: bool) -> None:
    kinds = ", ".join(_told(name, kind) for name, kind in found["kinds"].items())
    labels = found["labels"]
    dice = (
        "" if labels is None else f", labels Dice {labels['dice_gain']:+.4f} of {labels['slices']}"
    )
    gain = found["gain_db"], kinds, dice, found["steps"]
    said = "adaptation: %+.2f dB on held-out inner slices (%s%s) after %d steps: "
    if accepted:
        logger.info(said + "the adapted weights are used", *gain)
    else:
        logger.warning(said + "%s; the shipped weights are kept", *gain, found["reason"])


def _told(name: str, kind: Mapping[str, Any]) -> str:
    error = kind["standard_error"]
    spread = "" if error is None else f" ± {error:.2f}"
    told = f"{name} {kind['gain_db']:+.2f}{spread} of {kind['groups']}, p = {kind['p']:.2g}"
    return f"{told}, SSIM {kind['ssim_gain']:+.4f}"

"""Adaptation of the shipped weights to the scans that are imputed, and its acceptance test."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from torch import Tensor

from slicefill.fingerprint import fingerprint, weights_fingerprint
from slicefill.imputation.methods.adapted.holding_out import (
    SHORTEST,
    Divided,
    hold_out_slices,
    hold_out_subjects,
)
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.pretrained import ADAPTED, SHIPPED
from slicefill.imputation.methods.slice_imputation.losses import require_terms
from slicefill.imputation.methods.slice_imputation.model import load_model
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training import train_on
from slicefill.imputation.methods.slice_imputation.training_set import (
    TrainingData,
    TrainingSet,
    gather_training_set,
    score_groups,
)
from slicefill.training.fit import Run
from slicefill.training.hardware import launch_fabric
from slicefill.types import Case, Checkpoint, Promise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scans:
    """Scans to adapt to.

    Attributes:
        cases: Anisotropic cases by id.
        subjects: Subject by case id.
    """

    cases: Mapping[str, Promise]
    subjects: Mapping[str, str]

    def draw(self, most: int, seed: int) -> "Scans":
        """Draw at most `most` of the cases by the seed."""
        drawn = np.random.default_rng(seed).permutation(sorted(self.cases))[:most].tolist()
        return replace(self, cases={case: self.cases[case] for case in sorted(drawn)})


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
        A checkpoint whose entry `adaptation` says what was found: with the adapted weights, or
        with the given ones where those are not better on every kind of group, by `least_gain` and
        with a p of at most `largest_p`.

    Raises:
        ValueError: If nothing can be held out, no group can be drawn, or a λ has no loss term.
    """
    own = adaptation_fingerprint(scans, start, params)
    drawn = scans.draw(params.cases, params.optimisation.seed)
    divided = divide(drawn, start["channels"], params)
    synthesis = training_params(start, params)
    data = TrainingData(divided.training, divided.held_out, params.through_plane, start)
    training_set = gather_training_set(data, synthesis)
    trained = train_on(training_set, synthesis, run, own)
    steps = [row["value"] for row in trained["history"] if row["term"] == "train/steps"]
    trained["weights"] = between(start["weights"], trained["weights"], params.fraction)
    gains = compare_weights(start, trained, training_set, synthesis)
    accepted = is_accepted(gains["kinds"], params) and trained["epoch"] > 0
    kept = {**start, **trained} if accepted else {**start, "history": trained["history"]}
    found = {
        "used": ADAPTED if accepted else SHIPPED,
        **gains,
        "learned_from": "the acquired slices of the scans that are imputed; no other truth",
        "scans": len(drawn.cases),
        "held_out": divided.by,
        "minutes": params.optimisation.minutes,
        "steps": int(max(steps, default=0)),
        "best_epoch": trained["epoch"],
    }
    _log(found, params)
    return {**kept, "kind": ADAPTED, "fingerprint": own, "adaptation": found}


def between(
    start: Mapping[str, Tensor], trained: Mapping[str, Tensor], fraction: float
) -> dict[str, Tensor]:
    """Return weights that lie a fraction of the way from one state dict to another."""
    return {name: torch.lerp(weight, trained[name], fraction) for name, weight in start.items()}


def divide(scans: Scans, channels: int, params: AdaptationParams) -> Divided:
    """Hold out some subjects where there are enough, otherwise some slices of every scan.

    Raises:
        ValueError: If there is one subject, whose scans are all too short.
    """
    guides = {
        case: Promise(partial(_guide, promise, channels), promise.fingerprint)
        for case, promise in scans.cases.items()
    }
    subjects = {scans.subjects[case] for case in guides}
    if len(subjects) < params.subjects:
        divided = hold_out_slices(guides, params.held_out, params.through_plane)
        if divided.held_out:
            return divided
    if len(subjects) < 2:
        msg = (
            f"adaptation: expected scans of two subjects, or one of {SHORTEST} slices, part of "
            f"which can be held out, got {len(guides)} scan(s) of {len(subjects)} subject(s); give "
            "more scans, or impute without adaptation"
        )
        raise ValueError(msg)
    seed = params.optimisation.seed
    return hold_out_subjects(guides, scans.subjects, params.held_out, seed)


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


def _log(found: Mapping[str, Any], params: AdaptationParams) -> None:
    kinds = ", ".join(_told(name, kind) for name, kind in found["kinds"].items())
    gain = found["gain_db"], kinds, found["steps"]
    said = "adaptation: %+.2f dB on held-out inner slices (%s) after %d steps: "
    if found["used"] == ADAPTED:
        logger.info(said + "the adapted weights are used", *gain)
    else:
        kept = "expected %g dB (adaptation.least_gain) and p <= %g (largest_p) of each; "
        asked = params.least_gain, params.largest_p
        logger.warning(said + kept + "the shipped weights are kept", *gain, *asked)


def _told(name: str, kind: Mapping[str, Any]) -> str:
    error = kind["standard_error"]
    spread = "" if error is None else f" ± {error:.2f}"
    return f"{name} {kind['gain_db']:+.2f}{spread} of {kind['groups']}, p = {kind['p']:.2g}"


def _guide(promise: Promise, channels: int) -> Case:
    """Make a case with only the channels that guide the motion."""
    case = promise.make()
    stored = case.image.stored
    if stored.ndim == 3:
        return case
    return replace(case, image=case.image.with_stored(stored[..., :channels]))


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

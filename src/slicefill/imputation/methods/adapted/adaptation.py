"""Adaptation: the shipped weights learn from the very scans that are to be imputed.

From their acquired slices alone. Nothing that was removed from a scan and no truth is seen; but
the scans to be imputed are, test subjects' too, as they are when somebody wants them imputed.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.adapted.acceptance import compare, paid
from slicefill.imputation.methods.adapted.holding_out import (
    SHORTEST,
    Divided,
    hold_out_slices,
    hold_out_subjects,
)
from slicefill.imputation.methods.pretrained import ADAPTED, SHIPPED
from slicefill.imputation.methods.slice_imputation.checkpoint import (
    load_params,
    weights_fingerprint,
)
from slicefill.imputation.methods.slice_imputation.training import TrainingData, gather, train_on
from slicefill.params import AdaptationParams, SynthesisParams
from slicefill.training.fit import Run
from slicefill.types import Case, Checkpoint, Promise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scans:
    """Anisotropic cases, and whose each is."""

    cases: Mapping[str, Promise]
    subjects: Mapping[str, str]

    def draw(self, most: int, seed: int) -> "Scans":
        """Draw so many of the cases; all where there are not as many."""
        drawn = np.random.default_rng(seed).permutation(sorted(self.cases))[:most].tolist()
        return replace(self, cases={case: self.cases[case] for case in sorted(drawn)})


def adaptation_fingerprint(scans: Scans, start: Checkpoint, params: AdaptationParams) -> str:
    """Digest of all that determines adapted weights, but for how fast the machine is."""
    cases = {
        case: [promise.fingerprint, scans.subjects[case]] for case, promise in scans.cases.items()
    }
    return fingerprint(params, weights_fingerprint(start["weights"]), cases)


def adapt(scans: Scans, start: Checkpoint, params: AdaptationParams, run: Run) -> Checkpoint:
    """Train on scans from given weights on; go a share of the way if it pays on held-out slices.

    Rows of an anisotropic scan are blurred and slices across a double interval are far apart:
    neither is quite what is imputed, so that all of what is learned from them is too much (weights
    between those before and after fine-tuning hold better under such a shift: Wortsman et al., CVPR
    2022), and a gain counts only if it shows on both.

    Args:
        scans: Those that will be imputed; channels beyond the model's are not looked at.
        start: The shipped weights.
        params: Every number.
        run: State keeper and reporter.

    Returns:
        A checkpoint whose entry `adaptation` says what was found: with the adapted weights, or
        with the given ones where those are not better on every kind of group, by `least_gain` and
        with a p of at most `largest_p`.

    Raises:
        ValueError: If nothing can be held out, or no group be drawn.
    """
    mark = adaptation_fingerprint(scans, start, params)
    drawn = scans.draw(params.cases, params.optimisation.seed)
    divided = divide(drawn, start["channels"], params)
    synthesis = training_params(start, params)
    data = TrainingData(divided.training, divided.held_out, params.through_plane, start)
    material = gather(data, synthesis)
    trained = train_on(material, synthesis, run, mark)
    trained["weights"] = between(start["weights"], trained["weights"], params.fraction)
    gains = compare(start, trained, material, synthesis)
    better = paid(gains["kinds"], params) and trained["epoch"] > 0
    kept = {**start, **trained} if better else {**start, "history": trained["history"]}
    found = {
        "used": ADAPTED if better else SHIPPED,
        **gains,
        **_describe(trained, len(drawn.cases), divided.by),
    }
    _log(found, params)
    return {**kept, "fingerprint": mark, "adaptation": found}


def between(
    start: Mapping[str, Tensor], trained: Mapping[str, Tensor], fraction: float
) -> dict[str, Tensor]:
    """Weights that lie a share of the way from one state dict to another."""
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
    people = {scans.subjects[case] for case in guides}
    if len(people) < params.subjects:
        divided = hold_out_slices(guides, params.held_out, params.through_plane)
        if divided.held_out:
            return divided
    if len(people) < 2:
        msg = (
            f"adaptation: expected scans of two subjects, or one of {SHORTEST} slices, part of "
            f"which can be held out, got {len(guides)} scan(s) of {len(people)} subject(s); give "
            "more scans, or impute without adaptation"
        )
        raise ValueError(msg)
    seed = params.optimisation.seed
    return hold_out_subjects(guides, scans.subjects, params.held_out, seed)


def training_params(start: Checkpoint, params: AdaptationParams) -> SynthesisParams:
    """Set up training: network and window of the start, everything else of the adaptation."""
    own, weights = load_params(start), params.weights
    chosen = {
        "classifier": "joint",
        "tp_smooth": weights.tp_smooth > 0,
        "global_discriminator": weights.adv > 0,
        "local_discriminator": weights.adv > 0,
    }
    shared = ("perceptual", "critic_width", "through_plane", "groups", "optimisation", "hardware")
    return SynthesisParams(
        parts=own.parts.model_copy(update=chosen),
        preset=ADAPTED,
        weights={ADAPTED: weights},
        network=own.network,
        window=own.window,
        **{name: getattr(params, name) for name in shared},
    )


def _describe(trained: Checkpoint, scans: int, held_out: str) -> dict[str, Any]:
    """Say for the record what was learned from, and for how long."""
    steps = [row["value"] for row in trained["history"] if row["term"] == "train/steps"]
    return {
        "learned_from": "the acquired slices of the scans that are imputed; no other truth",
        "scans": scans,
        "held_out": held_out,
        "minutes": trained["params"]["optimisation"].get("minutes"),
        "steps": int(max(steps, default=0)),
        "best_epoch": trained["epoch"],
    }


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
    """Make a case with the channels that guide the motion alone."""
    case = promise.make()
    stored = case.image.stored
    if stored.ndim == 3:
        return case
    return replace(case, image=case.image.with_stored(stored[..., :channels]))

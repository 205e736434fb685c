"""How much of a scan's image is the network's, how much cubic interpolation's, and its error.

Acquired slices tell, before anything is written. Some are predicted from their neighbours two
intervals apart, by both methods; all are predicted from two and from four neighbours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slicefill.imputation.neighbours import (
    Neighbours,
    Predict,
    Trial,
    interpolate_cubic,
    predict_acquired,
    tried_slices,
    try_both,
    window_of,
)
from slicefill.types import Floats, Stack, SyntheticSlices

FEWEST = 5
"""Acquired slices without which nothing can be told."""
_LEAST = 0.1  # share of the one or the other below which the other imputes alone
_TRUST = 0.85  # in the network, of a scan with 0 dB of smoothness and anisotropy
_SMOOTH, _ANISOTROPIC = 2.8, 16.0  # dB that take 1 from it
_DOUBTED = 0.5  # share of cubic interpolation above which a scan is named
_TINY = 1e-12
_OVERSHOOT = 0.2  # widths of the window that a cubic may leave its neighbours: as a residual may
_DIGITS = 4
_BELIEVED = 0.3  # exponent: of a slice across two intervals, errors differ less across one
_RESCALED = (0.5, 2.0)  # bounds of what a scan's own slices change of the expected error


@dataclass(frozen=True)
class Choice:
    """What imputes a scan.

    Attributes:
        cubic: Share of cubic interpolation in the image, in [0, 1]; the rest is the network's.
        tried: Acquired slices that both methods predicted from neighbours two intervals apart.
        best_there: The share that was best for those slices; None where none was tried.
        smoothness: By how much four neighbours predict acquired slices better than two, dB;
            None where there are too few slices.
        anisotropy: By how much the scan is rougher from pixel to pixel than from slice to slice,
            dB; None where there are too few slices.
        error: Mean absolute error of the choice as a share of the network's, on the tried slices,
            at most 1.
        scale: By what the expected error of the scan is multiplied, for its tried slices err more
            or less than expected; 1 where none was tried or no error is expected.
    """

    cubic: float = 0.0
    tried: int = 0
    best_there: float | None = None
    smoothness: float | None = None
    anisotropy: float | None = None
    error: float = 1.0
    scale: float = 1.0

    def record(self) -> dict[str, Any]:
        """Return what was chosen and why, as plain values."""
        names = ("cubic", "best_there", "smoothness", "anisotropy")
        known = {name: getattr(self, name) for name in names}
        rounded = {k: None if v is None else round(v, _DIGITS) for k, v in known.items()}
        expected = {"tried": self.tried, "error_scale": round(self.scale, _DIGITS)}
        return {"image": self.name, **rounded, **expected, "why": self._why()}

    @property
    def name(self) -> str:
        """Say what imputes the image: `network`, `blend` or `cubic`."""
        return {0.0: "network", 1.0: "cubic"}.get(self.cubic, "blend")

    def _why(self) -> str:
        if self.best_there is None or self.smoothness is None or self.anisotropy is None:
            return f"fewer than {FEWEST} acquired slices, or none that shows more than background"
        return (
            f"{self.tried} acquired slices were predicted best with {self.best_there:.0%} of cubic "
            f"interpolation; four neighbours predict a slice {self.smoothness:+.1f} dB better than "
            f"two, and the scan is {self.anisotropy:+.1f} dB rougher within slices than across "
            "them (the higher, the more cubic)"
        )


def doubt(choice: Mapping[str, Any] | None) -> str:
    """Say of which scans the weights impute less than half of the image, and why.

    Args:
        choice: As `Choice.record` returned it; None where nothing was to be chosen.

    Returns:
        Half a sentence, or nothing.
    """
    if choice is None or choice["cubic"] <= _DOUBTED:
        return ""
    return (
        f"its own slices speak for cubic interpolation, which made {choice['cubic']:.0%} of the "
        f"image ({choice['why']})"
    )


def choose(stack: Stack, predict: Predict) -> Choice:
    """Choose how much of a scan cubic interpolation imputes.

    The best share on slices predicted across two intervals is that of the scan, if it is rough. A
    smooth scan is predicted far better across one interval than across two, by a cubic more so
    than by a network: the share rises with smoothness, the gain of four neighbours over two. It
    rises, too, where the scan is smoother across slices than within: the network expects between
    slices the detail that it sees in them.

    Args:
        stack: D acquired slices.
        predict: The network.
    """
    found = predict_acquired(stack) if len(stack.image) >= FEWEST else None
    if found is None:
        return Choice()
    trial = try_both(stack, predict)
    network, between = trial.network, trial.network - trial.cubic
    if not between.any():
        return Choice()
    best = float(np.clip((network @ between) / (between @ between), 0, 1))
    kept = (1 - best) * _trust(found)
    share = float(np.select([1 - kept < _LEAST, kept < _LEAST], [0, 1], 1 - kept))
    error = np.abs(network - share * between).sum() / max(np.abs(network).sum(), _TINY)
    tried = tried_slices(len(stack.image))
    told = (best, found.smoothness, found.anisotropy)
    return Choice(share, tried, *told, min(float(error), 1.0), _scale(trial))


def _trust(found: Neighbours) -> float:
    """Return what is left of the network's share; between little and much it changes fast."""
    doubts = found.smoothness / _SMOOTH + found.anisotropy / _ANISOTROPIC
    trust = float(np.clip(_TRUST - doubts, 0, 1))
    return trust**2 * (3 - 2 * trust)


def _scale(trial: Trial) -> float:
    """By what expected errors are multiplied so that they come nearer to those of a trial."""
    if trial.expected is None:
        return 1.0
    ratio = np.abs(trial.network).mean() / max(trial.expected.mean(), _TINY)
    return float(np.clip(ratio**_BELIEVED, *_RESCALED))


def blend(
    choice: Choice, made: SyntheticSlices, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Blend what a network imputed with cubic interpolation, and trust it accordingly.

    Args:
        choice: How much.
        made: By the network.
        stack: D acquired slices.
        positions: N values of t in (0, 1).
    """
    relative = choice.error * choice.scale
    if relative != 1:
        expected = np.float32(relative) * (1 - made.confidence)
        made = replace(made, confidence=np.clip(1 - expected, 0, 1))
    if choice.cubic == 0:
        return made
    cubic = _bounded(interpolate_cubic(stack.image, positions), stack)
    image = np.float32(1 - choice.cubic) * made.image + np.float32(choice.cubic) * cubic
    return replace(made, image=image)


def _bounded(cubic: Floats, stack: Stack) -> Floats:
    """Keep a cubic near the range of its two neighbours: it rings where metal or an edge begins."""
    first, last = stack.image[:-1, None], stack.image[1:, None]
    slack = np.float32(_OVERSHOOT) * window_of(stack)[1]
    return np.clip(cubic, np.minimum(first, last) - slack, np.maximum(first, last) + slack)

"""How much of a scan's image the network makes, and how much other methods.

Optical flow and cubic interpolation always take part; reformatted planes where they are asked for.

Acquired slices tell, before anything is written. Some are predicted from their neighbours two
intervals apart, by every method; all are predicted from two and from four neighbours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slicefill.imputation.neighbours import (
    Neighbours,
    Planes,
    Predict,
    Trial,
    each_cubic,
    predict_acquired,
    tried_slices,
    try_all,
    window_of,
)
from slicefill.imputation.optical_flow import dis_flow, each_along
from slicefill.types import Floats, Stack, SyntheticSlices

FEWEST = 5
"""Acquired slices without which nothing can be told."""
_LEAST = 0.1  # share of a method below which it is not worth its time
_FLOW = 0.42  # of optical flow in what cubic interpolation leaves, of a scan that tells nothing
_BELIEF = 4.0  # tried slices on which network and flow differ as much as both err, that outweigh it
_LEARNED_PLANES = 0.15  # what is added to their share where they have learned from the scan
_PLANES, _PLANES_SMOOTH, _MOST_PLANES = 0.75, 0.4, 0.85  # share at 0 dB of smoothness, per dB, most
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
        cubic: Share of cubic interpolation in the image, in [0, 1].
        dis: Share of optical flow (DIS); what is left is the network's.
        tried: Acquired slices that every method predicted from neighbours two intervals apart.
        best_there: The share of cubic interpolation, beside the network alone, that was best for
            those slices; None where none was tried.
        dis_there: The same of optical flow.
        smoothness: By how much four neighbours predict acquired slices better than two, dB;
            None where there are too few slices.
        anisotropy: By how much the scan is rougher from pixel to pixel than from slice to slice,
            dB; None where there are too few slices.
        error: Mean absolute error of the choice as a share of the network's, on the tried slices,
            at most 1; of planes before they have learned from the scan.
        scale: By what the expected error of the scan is multiplied, for its tried slices err more
            or less than expected; 1 where none was tried or no error is expected.
        planes: Share of reformatted planes.
    """

    cubic: float = 0.0
    dis: float = 0.0
    tried: int = 0
    best_there: float | None = None
    dis_there: float | None = None
    smoothness: float | None = None
    anisotropy: float | None = None
    error: float = 1.0
    scale: float = 1.0
    planes: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return what was chosen and why, as plain values."""
        names = (
            "network",
            "dis",
            "cubic",
            "planes",
            "best_there",
            "dis_there",
            "smoothness",
            "anisotropy",
        )
        known = {name: getattr(self, name) for name in names}
        rounded = {k: None if v is None else round(v, _DIGITS) for k, v in known.items()}
        expected = {"tried": self.tried, "error_scale": round(self.scale, _DIGITS)}
        return {"image": self.name, **rounded, **expected, "why": self._why()}

    def with_learned_planes(self) -> "Choice":
        """Trust planes more, which have learned from the scan, and the others less."""
        planes = min(self.planes + _LEARNED_PLANES, _MOST_PLANES)
        rest = (1 - planes) / (1 - self.planes)
        return replace(self, planes=planes, cubic=rest * self.cubic, dis=rest * self.dis)

    @property
    def network(self) -> float:
        """Share of the network in the image."""
        return 1 - self.cubic - self.dis - self.planes

    @property
    def name(self) -> str:
        """Say what imputes the image: `network`, `blend` or `cubic`."""
        if self.network == 1:
            return "network"
        return "cubic" if self.cubic == 1 else "blend"

    def _why(self) -> str:
        told = self.best_there, self.dis_there, self.smoothness, self.anisotropy
        if None in told:
            return f"fewer than {FEWEST} acquired slices, or none that shows more than background"
        return (
            f"{self.tried} acquired slices were predicted best with {self.best_there:.0%} of cubic "
            f"interpolation, or with {self.dis_there:.0%} of optical flow; four neighbours predict "
            f"a slice {self.smoothness:+.1f} dB better than two, and the scan is "
            f"{self.anisotropy:+.1f} dB rougher within slices than across "
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


def choose(stack: Stack, predict: Predict, planes: Planes | None = None) -> Choice:
    """Choose how much of a scan optical flow, cubic interpolation and planes impute.

    The best share of cubic on slices predicted across two intervals is that of the scan, if it is
    rough. A smooth scan is predicted far better across one interval than across two, by a cubic
    more so than by a network: the share rises with smoothness, the gain of four neighbours over
    two. It rises, too, where the scan is smoother across slices than within: the network expects
    between slices the detail that it sees in them.

    Motion across two intervals says little of that across one: the share of optical flow stays near
    the one of most scans, unless network and flow differ much more than both err.

    Planes show best what lies between slices that are near each other: their share rises with
    smoothness, and falls where cubic interpolation makes most of the image.

    Args:
        stack: D acquired slices.
        predict: The network.
        planes: Imputation in reformatted planes, if it is to take part.
    """
    if len(stack.image) < FEWEST:
        return Choice(dis=_FLOW)
    found = predict_acquired(stack)
    if found is None:
        return Choice()
    trial, tried = try_all(stack, predict, planes), tried_slices(len(stack.image))
    if not trial.network.size:  # only background there, as between two knees
        return Choice(dis=_FLOW)
    from_cubic, from_dis = trial.network - trial.cubic, trial.network - trial.dis
    best, there = (_best_share(trial.network, away) for away in (from_cubic, from_dis))
    kept = (1 - best) * _trust(found)
    cubic = float(np.select([1 - kept < _LEAST, kept < _LEAST], [0, 1], 1 - kept))
    dis = _believed_flow(trial, there, tried) * (1 - cubic) ** 2
    dis = dis if dis >= _LEAST else 0.0
    made = trial.network - cubic * from_cubic - dis * from_dis
    share = 0.0
    if planes is not None and trial.planes is not None:
        share = _planes_share(planes, found, cubic)
        made += share * (trial.planes - made)
    error = float(np.abs(made).sum() / max(np.abs(trial.network).sum(), _TINY))
    told = (tried, best, there, found.smoothness, found.anisotropy)
    choice = Choice(cubic, dis, *told, min(error, 1.0), _scale(trial))
    return replace(choice, cubic=(1 - share) * cubic, dis=(1 - share) * dis, planes=share)


def _best_share(error: Floats, away: Floats) -> float:
    """Share, in [0, 1], of another method whose error is `error - away`; 0 where they agree."""
    return float(np.clip((error @ away) / max(float(away @ away), _TINY), 0, 1))


def _believed_flow(trial: Trial, there: float, tried: int) -> float:
    """Share of optical flow beside the network, drawn from what was best towards `_FLOW`."""
    between = trial.network - trial.dis
    left = trial.network - there * between
    told = tried * float(between @ between) / max(float(left @ left), _TINY)
    return (told * there + _BELIEF * _FLOW) / (told + _BELIEF)


def _planes_share(planes: Planes, found: Neighbours, cubic: float) -> float:
    """Share of reformatted planes in an image of which `cubic` is interpolated."""
    share = (planes.share or _shipped_share)(found.smoothness, cubic)
    return share if share >= _LEAST else 0.0


def _shipped_share(smoothness: float, cubic: float) -> float:
    wanted = np.clip(_PLANES + _PLANES_SMOOTH * smoothness, 0, _MOST_PLANES)
    return float(wanted) * (1 - cubic**2)


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
    choice: Choice,
    made: SyntheticSlices,
    stack: Stack,
    positions: Sequence[float],
    planes: Planes | None = None,
    *,
    in_place: bool = False,
) -> SyntheticSlices:
    """Blend what a network imputed with the other methods, and trust it accordingly.

    Args:
        choice: How much of each.
        made: By the network.
        stack: D acquired slices.
        positions: N values of t in (0, 1).
        planes: As `choose` had them.
        in_place: Overwrite what the network imputed where it can be written: large scans fit twice.
    """

    def room(array: Floats) -> Floats:
        return array if in_place and array.flags.writeable else np.empty_like(array)

    relative = choice.error * choice.scale
    if relative != 1:
        confidence = room(made.confidence)
        for own, found in zip(confidence, made.confidence, strict=True):
            np.clip(1 - np.float32(relative) * (1 - found), 0, 1, out=own)
        made = replace(made, confidence=confidence)
    if choice.name == "network":
        return made
    image, others = room(made.image), _others(choice, stack, positions, planes)
    for interval in range(len(image)):  # no more than one interval of every method at once
        np.multiply(made.image[interval], np.float32(choice.network), out=image[interval])
        for share, each in others:
            image[interval] += np.float32(share) * next(each)
    return replace(made, image=image)


def _others(
    choice: Choice, stack: Stack, positions: Sequence[float], planes: Planes | None
) -> list[tuple[float, Iterator[Floats]]]:
    """Shares of what takes part beside the network, and its slices, interval by interval."""
    parts: list[tuple[float, Iterator[Floats]]] = []
    if choice.dis:
        parts.append((choice.dis, each_along(dis_flow, stack, positions)))
    if choice.cubic:
        cubics = enumerate(each_cubic(stack.image, positions))
        parts.append((choice.cubic, (_bounded(each, stack, k) for k, each in cubics)))
    if planes and choice.planes:
        parts.append((choice.planes, iter(planes.impute(stack, positions))))
    return parts


def _bounded(cubic: Floats, stack: Stack, interval: int) -> Floats:
    """Keep a cubic near the range of its two neighbours: it rings where metal or an edge begins."""
    first, last = stack.image[interval], stack.image[interval + 1]
    slack = np.float32(_OVERSHOOT) * window_of(stack)[1]
    return np.clip(cubic, np.minimum(first, last) - slack, np.maximum(first, last) + slack)

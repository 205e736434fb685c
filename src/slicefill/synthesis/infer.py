"""Filling the gaps of a stack with a trained model: the second step of Slice Imputation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from slicefill.synthesis.labels import Fields, label_fields, vote
from slicefill.synthesis.model import Motion, SynthesisModel
from slicefill.types import Filling, Stack

_GAPS_PER_BOX = 4  # on a CPU, larger batches gain nothing (benchmarks/imputation.py)


@dataclass(frozen=True)
class Engine:
    """A trained model ready to fill.

    Attributes:
        model: In evaluation mode, on the device of `fabric`.
        fabric: Device and precision.
        batch_pixels: Most pixels (pairs × rows × columns) in one batch.
        label_field: How labels are warped: `one_hot` or `signed_distance`.
        ensemble: Average the motion found on the slices and on their three mirror images.
    """

    model: SynthesisModel
    fabric: Fabric
    batch_pixels: int
    label_field: str
    ensemble: bool


@dataclass(frozen=True)
class _Box:
    """Rows and columns that show more than background, and the size of the whole slice."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    def cut(self, slices: Tensor) -> Tensor:
        return slices[..., self.top : self.bottom, self.left : self.right]

    def paste(self, inside: Tensor, outside: float = 0.0) -> Tensor:
        margins = (self.left, self.width - self.right, self.top, self.height - self.bottom)
        return F.pad(inside, margins, value=outside)


@torch.no_grad()
def fill_by_flow(engine: Engine, stack: Stack, positions: Sequence[float]) -> Filling:
    """Fill every gap of a stack: equations (1) to (5).

    Flows are found on intensities in [0, 1], once per gap for all t, inside the box that shows
    more than background. They are applied to the stored numbers, so nothing is clipped or
    rescaled, and further channels and the label ride along. A model with a residual adds it, at
    most its bound times the width of the window.

    Args:
        engine: Its model has at most as many channels as the stack; they guide the motion.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every gap.

    Raises:
        ValueError: If the stack has fewer channels than the model.
    """
    model, device = engine.model, engine.fabric.device
    if stack.image.shape[1] < model.channels:
        msg = (
            f"the model takes {model.channels} channels, the image has {stack.image.shape[1]}; "
            "train on such images or choose another method"
        )
        raise ValueError(msg)
    shown = torch.from_numpy(stack.normalised()[:, : model.channels])
    stored = torch.from_numpy(stack.image)
    ids = None if stack.label is None else torch.from_numpy(stack.label.astype(np.int64))
    filling = _allocate(stack, len(positions))
    width = torch.from_numpy(np.diff(stack.window).astype(np.float32)).to(device)
    for gaps, box in _batches(shown, engine.batch_pixels):
        inside = box.cut(shown)
        pair = _prepare(inside[gaps], device), _prepare(inside[_next(gaps)], device)
        whole = _Pair.of(shown, stored, ids, gaps, engine)
        for n, (t, found) in enumerate(_motions(engine, pair, positions)):
            motion = _whole(found, box, t)
            filling.image[gaps, n] = _render(motion, whole.stored, width).cpu().numpy()
            filling.trust[gaps, n] = motion.agreement(*whole.shown).cpu().numpy()
            if filling.label is not None:
                filling.label[gaps, n] = vote(motion, whole.fields, t).cpu().numpy()
    return filling


@dataclass(frozen=True)
class _Pair:
    """First and last slices of a batch of gaps, whole, on the device."""

    shown: tuple[Tensor, Tensor]
    stored: tuple[Tensor, Tensor]
    fields: Fields

    @classmethod
    def of(
        cls, shown: Tensor, stored: Tensor, ids: Tensor | None, gaps: slice, engine: Engine
    ) -> "_Pair":
        device = engine.fabric.device

        def both(slices: Tensor) -> tuple[Tensor, Tensor]:
            return slices[gaps].to(device), slices[_next(gaps)].to(device)

        fields = {} if ids is None else label_fields(*both(ids), engine.label_field)
        return cls(both(shown), both(stored), fields)


def _motions(
    engine: Engine, pair: tuple[Tensor, Tensor], positions: Sequence[float]
) -> Iterator[tuple[float, Motion]]:
    """Find the flows once and yield the motion from every position t."""
    mirrors = ((), (2,), (3,), (2, 3)) if engine.ensemble else ((),)
    with engine.fabric.autocast():
        mirrored = [(pair[0].flip(dims), pair[1].flip(dims)) for dims in mirrors]
        flows = [engine.model.flows(*slices) for slices in mirrored]
    for t in positions:
        position = torch.tensor(t, device=pair[0].device)
        with engine.fabric.autocast():
            found = [
                _mirror_back(engine.model.motion(*slices, flow, position), dims)
                for slices, flow, dims in zip(mirrored, flows, mirrors, strict=True)
            ]
        yield t, _mean(found)


def _mirror_back(motion: Motion, dims: tuple[int, ...]) -> Motion:
    """Undo a mirroring of rows (2) or columns (3): places move and flows change their sign."""
    if not dims:
        return motion
    signs = [-1.0 if dim in dims else 1.0 for dim in (2, 3)]
    sign = motion.to_first.new_tensor(signs).view(1, 2, 1, 1)
    share, residual = motion.first_share, motion.residual
    return Motion(
        motion.to_first.flip(dims) * sign,
        motion.to_last.flip(dims) * sign,
        share.flip(dims) if share.ndim == 4 else share,
        None if residual is None else residual.flip(dims),
    )


def _mean(motions: Sequence[Motion]) -> Motion:
    """Mean of every field of motions; one motion is returned as it is."""
    if len(motions) == 1:
        return motions[0]
    to_first, to_last, share = (
        torch.stack(fields).mean(0)
        for fields in zip(*((m.to_first, m.to_last, m.first_share) for m in motions), strict=True)
    )
    residuals = [motion.residual for motion in motions if motion.residual is not None]
    return Motion(to_first, to_last, share, torch.stack(residuals).mean(0) if residuals else None)


def _render(motion: Motion, stored: tuple[Tensor, Tensor], width: Tensor) -> Tensor:
    """Blend stored numbers; a residual is scaled by the window's width, `(C, 1)`."""
    image = motion.blend(*stored)
    if motion.residual is not None:
        guides = motion.residual.shape[1]
        image[:, :guides] += motion.residual * width[:guides, :, None]
    return image


def _allocate(stack: Stack, count: int) -> Filling:
    depth, channels, height, width = stack.image.shape
    gaps = (depth - 1, count)
    label = None
    if stack.label is not None:
        label = np.zeros((*gaps, height, width), stack.label.dtype)
    image = np.zeros((*gaps, channels, height, width), np.float32)
    return Filling(image, np.zeros((*gaps, height, width), np.float32), label)


def _occupied(shown: Tensor) -> _Box:
    """Box of all that is above 0 in any slice; outside, all slices agree on background."""
    height, width = shown.shape[-2:]
    mask = (shown > 0).any(dim=0).any(dim=0)
    if not mask.any():
        return _Box(0, min(2, height), 0, min(2, width), height, width)  # nothing moves
    top, bottom = _span(mask.any(1))
    left, right = _span(mask.any(0))
    return _Box(top, bottom, left, right, height, width)


def _span(shows: Tensor) -> tuple[int, int]:
    """First and last + 1 of what shows something; at least two pixels, as warping needs."""
    places = torch.nonzero(shows).flatten()
    last = min(max(int(places[-1]) + 1, int(places[0]) + 2), len(shows))
    return min(int(places[0]), max(last - 2, 0)), last


def _batches(shown: Tensor, pixels: int) -> Iterator[tuple[slice, _Box]]:
    """Divide the gaps into batches of at most `pixels`, each with the box that shows something.

    A box is shared by a fixed number of neighbouring gaps, so that results do not depend on
    `pixels`: the ends of a body cost less than its middle.
    """
    gaps = len(shown) - 1
    for start in range(0, gaps, _GAPS_PER_BOX):
        stop = min(start + _GAPS_PER_BOX, gaps)
        box = _occupied(shown[start : stop + 1])
        size = max(1, pixels // box.cut(shown)[0, 0].numel())
        for first in range(start, stop, size):
            yield slice(first, min(first + size, stop)), box


def _next(gaps: slice) -> slice:
    return slice(gaps.start + 1, gaps.stop + 1)


def _prepare(slices: Tensor, device: torch.device) -> Tensor:
    return slices.to(device).contiguous(memory_format=torch.channels_last)


def _whole(motion: Motion, box: _Box, t: float) -> Motion:
    """Extend motion in the box to whole slices: no motion outside."""
    share, residual = motion.first_share, motion.residual
    if share.ndim == 4:
        share = box.paste(share, 1 - t)
    if residual is not None:
        residual = box.paste(residual)
    return Motion(box.paste(motion.to_first), box.paste(motion.to_last), share, residual)

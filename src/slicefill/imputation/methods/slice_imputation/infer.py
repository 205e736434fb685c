"""Imputation of a stack of slices by a trained synthesis network: equations (1) to (5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import Box, far_side
from slicefill.imputation.methods.slice_imputation.interval_batches import Near, each_near
from slicefill.imputation.methods.slice_imputation.label_boxes import BoxedLabels, moving_in
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.motion import Motion, Pair, Places
from slicefill.types import Array, Checkpoint, Floats, Stack, SyntheticSlices


@dataclass(frozen=True)
class FlowImputer:
    """A trained synthesis network, ready to impute.

    Attributes:
        model: In evaluation mode, on the device of `fabric`.
        fabric: Device and precision.
        batch_pixels: Most pixels (pairs × rows × columns) in one batch.
        labels: How labels follow the motion of the image.
        ensemble: Average the motion found on the slices and on their three mirror images.
    """

    model: SynthesisModel
    fabric: Fabric
    batch_pixels: int
    labels: LabelRule
    ensemble: bool


def load_flow_imputer(
    checkpoint: Checkpoint, fabric: Fabric, batch_pixels: int, labels: LabelRule, ensemble: bool
) -> FlowImputer:
    """Put a trained model on the device of `fabric`; the rest as in `FlowImputer`."""
    model = load_model(checkpoint).to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FlowImputer(model, fabric, batch_pixels, labels, ensemble)


@torch.no_grad()
def impute_by_flow(
    imputer: FlowImputer, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Impute every interval of a stack: equations (1) to (5).

    Flows are found on intensities in [0, 1], once per interval for all t, inside the box that shows
    more than background. They are applied to the intensities, so nothing is clipped or
    rescaled; further channels and the label are warped by the same flows. The residual of a model
    that has one is added; it is at most its bound times the width of the window.

    Args:
        imputer: Its model has at most as many channels as the stack; they guide the motion.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Raises:
        ValueError: If the stack has fewer channels than the model.
    """
    synthetic = allocate(stack, positions)
    predicts = imputer.model.parts.error
    error = np.zeros_like(synthetic.confidence) if predicts else None
    for intervals, box, predicted in each_by_flow(imputer, stack, positions, synthetic):
        if error is not None and predicted is not None:
            box.cut(torch.from_numpy(error[intervals])).copy_(predicted)
    return replace(synthetic, error=error)


class Made(NamedTuple):
    """What was imputed at once.

    Attributes:
        intervals: Which intervals of the stack.
        box: Rows and columns; outside, all is background.
        error: Absolute error that the model predicts, `(G, N, h, w)`; None where it predicts none.
    """

    intervals: slice
    box: Box
    error: Tensor | None


@torch.no_grad()
def each_by_flow(
    imputer: FlowImputer, stack: Stack, positions: Sequence[float], synthetic: SyntheticSlices
) -> Iterator[Made]:
    """Impute as `impute_by_flow` does, some intervals at a time, which may then be changed.

    Args:
        imputer: As there.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.
        synthetic: As `allocate` made it; slices are written into it.
    """
    model, device = imputer.model, imputer.fabric.device
    imputer = replace(imputer, labels=imputer.labels.within(stack.label_share))
    if stack.image.shape[1] < model.channels:
        msg = (
            f"the model takes {model.channels} channels, the image has {stack.image.shape[1]}; "
            "train on such images or choose another method"
        )
        raise ValueError(msg)
    areas = {} if stack.label is None else imputer.labels.areas(stack.label, positions, stack.at)
    window = torch.from_numpy(stack.window.astype(np.float32)).to(device)
    for near in each_near(stack, model.channels, imputer.batch_pixels):
        intervals, box = near.intervals, near.box
        batch = _Batch.of(imputer, stack.label, near)
        pair, errors = near.pair(device), list[Tensor]()
        for n, (t, motion) in enumerate(motions(imputer, pair, positions)):
            image, agreement = _render(motion, box, batch, window)
            _inside(synthetic.image, intervals, n, box).copy_(image)
            _inside(synthetic.confidence, intervals, n, box).copy_(agreement)
            errors += [] if motion.error is None else [motion.error]
            if synthetic.label is not None and batch.labels is not None:
                guiding = torch.from_numpy(synthetic.image[intervals, n, : model.channels])
                made = partial(_shown_in, guiding, window[: model.channels])
                due = {label: area[intervals, n] for label, area in areas.items()}
                moving = partial(moving_in, motion, box, t)
                where, found = batch.labels.impute(moving, made, t, due)
                where.cut(synthetic.label[intervals, n])[:] = found.cpu().numpy()
        yield Made(intervals, box, torch.cat(errors, 1) if errors else None)


@dataclass(frozen=True)
class _Batch:
    """First and last slices of a batch of intervals, whole, on the device.

    Attributes:
        first: Intensities, then those shown to the network in [0, 1], `(B, C + c, H, W)`.
        last: The same of the last slices.
        shown: How many of these channels are shown to the network.
        labels: What is known of the labels.
    """

    first: Tensor
    last: Tensor
    shown: int
    labels: BoxedLabels | None

    @classmethod
    def of(cls, imputer: FlowImputer, label: Array | None, near: Near) -> "_Batch":
        first, last = (
            torch.cat([near.intensities[side], near.shown[side]], 1).to(imputer.fabric.device)
            for side in (near.own, far_side(near.own))
        )
        count = near.shown.shape[1]
        if label is None:
            return cls(first, last, count, None)
        seen = first[:, -count:], last[:, -count:]
        far = not imputer.model.parts.mix
        labels = BoxedLabels.around(near.intervals, label, seen, imputer.labels, far)
        return cls(first, last, count, labels)


def motions(
    imputer: FlowImputer, pair: Pair, positions: Sequence[float]
) -> Iterator[tuple[float, Motion]]:
    """Find the flows once and yield every position t and the motion from there."""
    mirrors = ((), (2,), (3,), (2, 3)) if imputer.ensemble else ((),)
    with imputer.fabric.autocast():
        mirrored = [_mirror(pair, dims) for dims in mirrors]
        flows = [imputer.model.flows(slices) for slices in mirrored]
    for t in positions:
        position = torch.tensor(t, device=pair.first.device)
        with imputer.fabric.autocast():
            found = [
                _mirror_back(imputer.model.motion(slices, flow, position), dims)
                for slices, flow, dims in zip(mirrored, flows, mirrors, strict=True)
            ]
        yield t, _mean(found)


def _mirror(pair: Pair, dims: tuple[int, ...]) -> Pair:
    outer = None if pair.outer is None else pair.outer.flip(dims)
    return Pair(pair.first.flip(dims), pair.last.flip(dims), outer)


def _mirror_back(motion: Motion, dims: tuple[int, ...]) -> Motion:
    """Undo a mirroring of rows (2) or columns (3): places move and flows change their sign."""
    if not dims:
        return motion
    signs = [-1.0 if dim in dims else 1.0 for dim in (2, 3)]
    sign = motion.to_first.new_tensor(signs).view(1, 2, 1, 1)
    maps = {name: field for name, field in motion._asdict().items() if _is_map(field)}
    back = motion._replace(**{name: field.flip(dims) for name, field in maps.items()})
    return back._replace(to_first=back.to_first * sign, to_last=back.to_last * sign)


def _mean(motions: Sequence[Motion]) -> Motion:
    """Mean of every field of motions; one motion is returned as it is."""
    if len(motions) == 1:
        return motions[0]
    given = [name for name, field in motions[0]._asdict().items() if field is not None]
    means = {name: torch.stack([getattr(m, name) for m in motions]).mean(0) for name in given}
    return motions[0]._replace(**means)


def _render(motion: Motion, box: Box, batch: _Batch, window: Tensor) -> tuple[Tensor, Tensor]:
    """Blend intensities in a box, `(B, C, h, w)`, and say how far both slices agree, `(B, h, w)`.

    A residual is scaled by the width of the window, `(C, 2)`.
    """
    size, origin = (box.height, box.width), (box.top, box.left)
    first = Places.of(motion.to_first, size, origin).sample(batch.first)
    last = Places.of(motion.to_last, size, origin).sample(batch.last)
    own, seen = slice(None, -batch.shown), slice(-batch.shown, None)
    still = box.cut(batch.first[:, own]), box.cut(batch.last[:, own])
    image = motion.mix((first[:, own], last[:, own]), still)
    if motion.residual is not None:
        guides = motion.residual.shape[1]
        width = window[:guides, 1] - window[:guides, 0]
        image[:, :guides] += motion.residual * width[:, None, None]
    return image, motion.agreement_of(first[:, seen], last[:, seen])


def _inside(slices: Floats, intervals: slice, n: int, box: Box) -> Tensor:
    """View the box in the n-th slices of some intervals."""
    return box.cut(torch.from_numpy(slices[intervals, n]))


def allocate(stack: Stack, positions: Sequence[float]) -> SyntheticSlices:
    """What is outside all boxes: linear interpolation, with which both slices agree, unlabelled."""
    shape = (len(stack.image) - 1, len(positions), *stack.image.shape[2:])
    first, last = (torch.from_numpy(slices) for slices in (stack.image[:-1], stack.image[1:]))
    image = np.empty((*shape[:2], *stack.image.shape[1:]), np.float32)
    for n, t in enumerate(positions):
        torch.from_numpy(image[:, n]).copy_(torch.lerp(last, first, 1 - t))
    label = None if stack.label is None else np.zeros(shape, stack.label.dtype)
    return SyntheticSlices(image, np.ones(shape, np.float32), label)


def _shown_in(slices: Tensor, window: Tensor, box: Box) -> Tensor:
    """What slices `(B, C, H, W)` show in a box, in [0, 1], on the device of the window."""
    return through_window(box.cut(slices).to(window.device), window).clamp(0, 1)


def _is_map(field: Tensor | None) -> bool:
    return field is not None and field.ndim == 4


def through_window(intensities: Tensor, window: Tensor) -> Tensor:
    """Scale intensities so that their window becomes [0, 1]; what lies outside is not clipped.

    Args:
        intensities: `(..., C, h, w)`.
        window: Low and high of every channel, `(C, 2)`.

    Example:
        >>> import torch
        >>> intensities = torch.tensor([100.0, 150.0, 300.0]).view(1, 1, 3)
        >>> through_window(intensities, torch.tensor([[100.0, 200.0]])).flatten().tolist()
        [0.0, 0.5, 2.0]
    """
    low, high = window[:, :1, None], window[:, 1:, None]
    return (intensities - low) / (high - low)

"""Imputation of a stack of slices by a trained synthesis network: equations (1) to (5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import Box, batches, far_side
from slicefill.imputation.methods.slice_imputation.labels import LabelRule, Labels
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.motion import Motion, Pair
from slicefill.types import Checkpoint, Stack, SyntheticSlices


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
    model, device = imputer.model, imputer.fabric.device
    imputer = replace(imputer, labels=imputer.labels.within(stack.label_share))
    if stack.image.shape[1] < model.channels:
        msg = (
            f"the model takes {model.channels} channels, the image has {stack.image.shape[1]}; "
            "train on such images or choose another method"
        )
        raise ValueError(msg)
    shown = torch.from_numpy(stack.normalised()[:, : model.channels])
    intensities = torch.from_numpy(stack.image)
    ids = None if stack.label is None else torch.from_numpy(stack.label.astype(np.int64))
    areas = {} if ids is None else imputer.labels.areas(ids, positions)
    synthetic = _allocate(stack, len(positions), model.parts.error)
    window = torch.from_numpy(stack.window.astype(np.float32)).to(device)
    for intervals, box in batches(shown, imputer.batch_pixels):
        pair = _pair(box.cut(shown), intervals, device)
        whole = _Pair.of(shown, intensities, ids, intervals, imputer)
        for n, (t, found) in enumerate(motions(imputer, pair, positions)):
            motion = _whole(found, box, t)
            image = _render(motion, whole.intensities, window)
            synthetic.image[intervals, n] = image.cpu().numpy()
            synthetic.confidence[intervals, n] = motion.agreement(*whole.shown).cpu().numpy()
            if synthetic.error is not None and motion.error is not None:
                synthetic.error[intervals, n] = motion.error[:, 0].cpu().numpy()
            if synthetic.label is not None and whole.labels is not None:
                guiding = image[:, : model.channels]
                made = through_window(guiding, window[: model.channels]).clamp(0, 1)
                due = {label: area[intervals, n] for label, area in areas.items()}
                found_ids = whole.labels.impute(motion, made, t, due)
                synthetic.label[intervals, n] = found_ids.cpu().numpy()
    return synthetic


@dataclass(frozen=True)
class _Pair:
    """First and last slices of a batch of intervals, whole, on the device."""

    shown: tuple[Tensor, Tensor]
    intensities: tuple[Tensor, Tensor]
    labels: Labels | None

    @classmethod
    def of(
        cls,
        shown: Tensor,
        intensities: Tensor,
        ids: Tensor | None,
        intervals: slice,
        imputer: FlowImputer,
    ) -> "_Pair":
        device = imputer.fabric.device

        def both(slices: Tensor) -> tuple[Tensor, Tensor]:
            return slices[intervals].to(device), slices[far_side(intervals)].to(device)

        seen = both(shown)
        labels = None if ids is None else Labels.around(intervals, ids, seen, imputer.labels)
        return cls(seen, both(intensities), labels)


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


def _render(motion: Motion, intensities: tuple[Tensor, Tensor], window: Tensor) -> Tensor:
    """Blend intensities; a residual is scaled by the width of the window, `(C, 2)`."""
    image = motion.blend(*intensities)
    if motion.residual is not None:
        guides = motion.residual.shape[1]
        width = window[:guides, 1] - window[:guides, 0]
        image[:, :guides] += motion.residual * width[:, None, None]
    return image


def _allocate(stack: Stack, count: int, predicts_error: bool) -> SyntheticSlices:
    depth, channels, height, width = stack.image.shape
    shape = (depth - 1, count, height, width)
    image = np.zeros((depth - 1, count, channels, height, width), np.float32)
    label = None if stack.label is None else np.zeros(shape, stack.label.dtype)
    error = np.zeros(shape, np.float32) if predicts_error else None
    return SyntheticSlices(image, np.zeros(shape, np.float32), label, error=error)


def _pair(inside: Tensor, intervals: slice, device: torch.device) -> Pair:
    """Slices on both sides of the intervals and, where the stack reaches, those beyond them."""

    def at(offset: int) -> Tensor:
        places = torch.arange(intervals.start, intervals.stop) + offset
        chosen = inside[places.clamp(0, len(inside) - 1)].to(device)
        return chosen.contiguous(memory_format=torch.channels_last)

    return Pair(at(0), at(1), torch.cat([at(-1), at(2)], 1))


def _whole(motion: Motion, box: Box, t: float) -> Motion:
    """Extend motion in the box to whole slices: no motion outside, and no error."""
    outside = {"first_weight": 1 - t, "moved": 1.0}
    maps = {name: field for name, field in motion._asdict().items() if _is_map(field)}
    pasted = {name: box.paste(field, outside.get(name, 0.0)) for name, field in maps.items()}
    return motion._replace(**pasted)


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

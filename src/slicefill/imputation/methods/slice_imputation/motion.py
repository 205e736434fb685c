"""Motion between two neighbouring slices, and synthesis of a slice between them by warping."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import Box


class Flows(NamedTuple):  # Fabric converts the precision of tuples, not of frozen dataclasses
    """The two flows between the inputs, F_{0→N+1} and F_{N+1→0}, each `(B, 2, H, W)`, pixels."""

    forward: Tensor
    backward: Tensor


class Pair(NamedTuple):
    """Two neighbouring slices, and those beyond them.

    Attributes:
        first: `(B, C, H, W)`, intensities in [0, 1].
        last: The same of the other slice.
        outer: The slice before the first and the one after the last, `(B, 2 C, H, W)`, as far
            away as the two are from each other; None, or the slice itself, where there is none.
    """

    first: Tensor
    last: Tensor
    outer: Tensor | None = None

    def surroundings(self) -> Tensor:
        """Return the outer slices; the pair itself replaces those that do not exist."""
        return torch.cat([self.first, self.last], 1) if self.outer is None else self.outer


class Motion(NamedTuple):
    """How the slice at one position is taken from both inputs.

    Attributes:
        to_first: F̂_{t→0}, `(B, 2, H, W)`, pixels.
        to_last: F̂_{t→N+1}.
        first_weight: Weight of the first input in the blend, broadcastable to `(B, 1, H, W)`;
            1 - t without refinement (eq. 3), shifted by visibility with it.
        residual: What is added to the blended intensities, `(B, C, H, W)` in [0, 1] units; None
            where all intensities come from the two slices, as in the paper.
        moved: Weight of what is warped along the motion, `(B, 1, H, W)` in (0, 1); the rest is
            linear interpolation in place. None: 1 everywhere, as in the paper.
        t: Position in (0, 1), broadcastable; needed where `moved` is given.
        error: Expected absolute error, `(B, 1, H, W)` in [0, 1] units; None where the model does
            not predict it.
        high: The part of the residual that is of high frequencies, `(B, C, H, W)`; None where the
            model does not divide it.
    """

    to_first: Tensor
    to_last: Tensor
    first_weight: Tensor
    residual: Tensor | None = None
    moved: Tensor | None = None
    t: Tensor | None = None
    error: Tensor | None = None
    high: Tensor | None = None

    def inside(self, box: Box) -> "Motion":
        """Motion of the pixels in a box."""
        maps = {name: part for name, part in self._asdict().items() if part is not None}
        return self._replace(**{k: box.cut(part) for k, part in maps.items() if part.ndim == 4})

    def blend(self, first: Tensor, last: Tensor) -> Tensor:
        """Warp and blend any maps on the grid of the two slices: eq. (3) and (4)."""
        moved = warp(first, self.to_first), warp(last, self.to_last)
        return self.mix(moved, (first, last))

    def mix(self, warped: tuple[Tensor, Tensor], still: tuple[Tensor, Tensor]) -> Tensor:
        """Blend maps of both slices: as they are where motion takes them, and in place."""
        moving = torch.lerp(warped[1], warped[0], self.first_weight)
        if self.moved is None or self.t is None:
            return moving
        return torch.lerp(torch.lerp(*still, self.t), moving, self.moved)

    def render(self, first: Tensor, last: Tensor) -> Tensor:
        """Warp and blend two slices in [0, 1], `(B, C, H, W)`, and add the residual."""
        blended = self.blend(first, last)
        return blended if self.residual is None else blended + self.residual

    def agreement(self, first: Tensor, last: Tensor) -> Tensor:
        """Agreement of the predictions from both slices, `(B, H, W)` in [0, 1]; 1 where equal.

        A residual is predicted by neither slice and counts as disagreement.

        Args:
            first: Intensities in [0, 1], `(B, C, H, W)`.
            last: The same of the other slice.
        """
        return self.agreement_of(warp(first, self.to_first), warp(last, self.to_last))

    def agreement_of(self, first: Tensor, last: Tensor) -> Tensor:
        """Agreement of predictions that are there already; the rest as in `agreement`."""
        apart = (first - last).abs()
        if self.residual is not None:
            apart = apart + self.residual.abs()
        return (1 - apart.mean(1)).clamp(min=0)


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample `image` where `flow` points: g(I, F) of eq. (3), bilinear, clamped at the border.

    Written with gathers: `grid_sample` rounds its normalised coordinates, so that a zero flow
    would change a 512-pixel slice by 1e-5; here a zero flow is the identity to the bit.

    Args:
        image: `(B, C, H, W)`.
        flow: `(B, 2, H, W)`, displacement (row, column) in pixels.

    Returns:
        `(B, C, H, W)`.

    Example:
        >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)
        >>> warp(ramp, torch.full((1, 2, 4, 4), 0.5))[0, 0, 0]
        tensor([0.5000, 1.5000, 2.5000, 3.0000])
    """
    return Places.of(flow, image.shape[2:]).sample(image)


class Places(NamedTuple):
    """Where slices are sampled; several maps may be sampled at the same places.

    Attributes:
        corner: Index of the pixel above and left of the place in a flattened slice,
            `(B, 1, h · w)`.
        row: Share of the row below, `(B, 1, h, w)`.
        column: Share of the column to the right.
    """

    corner: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, flow: Tensor, size: Sequence[int], origin: tuple[int, int] = (0, 0)) -> "Places":
        """Follow a flow, `(B, 2, h, w)`, from a box of whole slices.

        Args:
            flow: Displacement (row, column) in pixels.
            size: Rows and columns of the whole slices.
            origin: First row and column of the box.
        """
        row, below = _split(flow[:, 0], size[0], dim=1, start=origin[0])
        column, right = _split(flow[:, 1], size[1], dim=2, start=origin[1])
        return cls((row.mul_(size[1]).add_(column)).flatten(1).unsqueeze(1), below, right)

    def sample(self, image: Tensor) -> Tensor:
        """Sample whole slices, `(B, C, H, W)`, bilinear: `(B, C, h, w)`."""
        channels, width = image.shape[1], image.shape[-1]
        shape = (len(image), channels, *self.row.shape[2:])
        corner, pixels = self.corner.expand(-1, channels, -1), image.flatten(2)
        if 1 in image.shape[2:]:  # nothing lies beyond: what stands there has a share of 0
            pixels = F.pad(pixels, (0, width + 1))

        def at(offset: int) -> Tensor:
            return pixels[..., offset:].gather(2, corner).view(shape)

        upper = torch.lerp(at(0), at(1), self.column)
        lower = torch.lerp(at(width), at(width + 1), self.column)
        return torch.lerp(upper, lower, self.row)


def _split(displacement: Tensor, size: int, dim: int, start: int) -> tuple[Tensor, Tensor]:
    """Split positions into the index before, `(B, h, w)`, and the rest, `(B, 1, h, w)`."""
    shape = [1, 1, 1]
    shape[dim] = displacement.shape[dim]
    like = {"device": displacement.device, "dtype": displacement.dtype}
    grid = torch.arange(start, start + shape[dim], **like).view(shape)  # type: ignore[call-overload]
    position = (grid + displacement).clamp(0, size - 1)
    # nan stays in the rest, so that a loss shows it; as an index it would be out of bounds
    before = position.detach().nan_to_num().floor_().clamp_(max=max(size - 2, 0))
    return before.long(), (position - before).unsqueeze(1)


def intermediate_flows(
    forward: Tensor, backward: Tensor, t: Tensor, form: str = "linear_motion"
) -> tuple[Tensor, Tensor]:
    """Approximate the flows from position t to both inputs: eq. (1) and (2).

    Args:
        forward: F_{0→N+1}, `(B, 2, H, W)`, pixels.
        backward: F_{N+1→0}, same shape.
        t: n / (N + 1) in (0, 1), broadcastable to the flows.
        form: `linear_motion` is Super-SloMo's, exact for constant motion; `printed` has
            t where eq. (1) of the paper prints it, and is not.

    Returns:
        F̂_{t→0} and F̂_{t→N+1}.

    Example:
        Constant motion of 4 pixels, a quarter of the way:

        >>> four = torch.full((1, 2, 1, 1), 4.0)
        >>> [f.flatten().tolist() for f in intermediate_flows(four, -four, torch.tensor(0.25))]
        [[-1.0, -1.0], [3.0, 3.0]]
    """
    square = t if form == "printed" else t * t
    to_first = -(1 - t) * t * forward + square * backward
    to_last = (1 - t) ** 2 * forward - t * (1 - t) * backward
    return to_first, to_last

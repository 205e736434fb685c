"""Motion between two neighbouring slices, and synthesis of a slice between them by warping."""

from typing import NamedTuple

import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.warping import warp


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
    """

    to_first: Tensor
    to_last: Tensor
    first_weight: Tensor
    residual: Tensor | None = None
    moved: Tensor | None = None
    t: Tensor | None = None
    error: Tensor | None = None

    def blend(self, first: Tensor, last: Tensor) -> Tensor:
        """Warp and blend any maps on the grid of the two slices: eq. (3) and (4)."""
        warped_first, warped_last = warp(first, self.to_first), warp(last, self.to_last)
        warped = torch.lerp(warped_last, warped_first, self.first_weight)
        if self.moved is None or self.t is None:
            return warped
        return torch.lerp(torch.lerp(first, last, self.t), warped, self.moved)

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
        apart = (warp(first, self.to_first) - warp(last, self.to_last)).abs()
        if self.residual is not None:
            apart = apart + self.residual.abs()
        return (1 - apart.mean(1)).clamp(min=0)

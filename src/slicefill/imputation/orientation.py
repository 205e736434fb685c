"""Methods see every scan in one orientation, so that no file format changes what they impute."""

from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.types import Array, Stack, SyntheticSlices


@dataclass(frozen=True)
class Turn:
    """Turns slices so that slices, rows and columns run along the world's L, A and S, and back.

    Rows are along the first of the two world axes in the plane. An oblique axis counts as the one
    that is nearest to it.

    Attributes:
        flips: Whether slices, rows and columns, in the order of the turned stack, run the other
            way in the file.
        swap: Whether rows and columns are exchanged first.
    """

    flips: tuple[bool, bool, bool]
    swap: bool

    @classmethod
    def of(cls, affine: Array, axis: int) -> "Turn":
        """Return the turn of a volume whose slices lie across an array axis.

        Args:
            affine: Voxel to world, `(4, 4)`.
            axis: The array axis.
        """
        worlds, ways = nib.io_orientation(affine).T
        rows, columns = (one for one in range(3) if one != axis)
        swap = bool(worlds[rows] > worlds[columns])
        order = (axis, columns, rows) if swap else (axis, rows, columns)
        first, second, third = (bool(ways[one] < 0) for one in order)
        return cls((first, second, third), swap)

    def stack(self, stack: Stack) -> Stack:
        """Turn a stack."""
        label = None if stack.label is None else self._there(stack.label)
        return replace(stack, image=self._there(stack.image), label=label, **self._distances(stack))

    def stack_back(self, stack: Stack) -> Stack:
        """Turn a stack back: a view."""
        label = None if stack.label is None else self._back(stack.label, 1)
        image = self._back(stack.image, 1)
        return replace(stack, image=image, label=label, **self._distances(stack))

    def back(self, slices: SyntheticSlices) -> SyntheticSlices:
        """Turn synthetic slices back to the orientation of the file."""
        named: dict[str, Any] = {
            name: None if (array := getattr(slices, name)) is None else self._back(array, 2)
            for name in ("image", "confidence", "label", "error", "abstained", "spread")
        }
        acquired = None if slices.acquired is None else self._back(slices.acquired, 1)
        for name in ("samples", "sample_labels"):
            named[name] = [self._back(one, 2) for one in getattr(slices, name)]
        counts = slices.counts
        if counts is not None and self.flips[0]:
            counts = counts[::-1]
        return replace(slices, **named, acquired=acquired, counts=counts)

    def _distances(self, stack: Stack) -> dict[str, Any]:
        """`apart` and `at` of a turned stack, there and back."""
        apart, at = stack.apart, stack.at
        if apart is not None and self.swap:
            apart = apart[1], apart[0]
        if at is not None and self.flips[0]:
            at = at[0] + at[-1] - at[::-1]
        return {"apart": apart, "at": at}

    def _there(self, slices: Array) -> Array:
        """Turn `(D, ..., H, W)`."""
        swapped = slices.swapaxes(-1, -2) if self.swap else slices
        axes = [axis for axis, flip in zip((0, -2, -1), self.flips, strict=True) if flip]
        turned = np.flip(swapped, tuple(axes))
        return np.ascontiguousarray(turned) if axes or self.swap else slices

    def _back(self, slices: Array, leading: int) -> Array:
        """Turn `(D, ..., H, W)`, or with intervals and positions in front, `leading` axes."""
        through, rows, columns = self.flips
        axes = (*range(leading * through), *(-2,) * rows, *(-1,) * columns)
        turned: Array = np.flip(slices, axes)
        return turned.swapaxes(-1, -2) if self.swap else turned

"""Alignment of a view to the reference: its matrix, and whether it can be believed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.grids.cubic import Seen, from_world, overlap, see
from slicefill.registration import register
from slicefill.types import Case, Checkpoint
from slicefill.views.similarity import correlation, correlation_ratio, crossing_similarity

_FEWEST = 100  # voxels in common, below which nothing is alike


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where a view lies.

    Attributes:
        matrix: From positions in the world of the reference to those of the same tissue in the
            world of the view, `(4, 4)`, mm, RAS.
        similarity: What registration by its metric should have made high, in the reference's body:
            the correlation, [-1, 1], or the correlation ratio, [0, 1].
        correlation: Of the intensities there, [-1, 1].
        overlap: Share of the reference's body inside the field of the view, [0, 1].
        crossing: Correlation of the intensities where acquired slices cross, [-1, 1]; None where
            contrasts differ, or too few cross.
    """

    matrix: NDArray[np.float64]
    similarity: float
    correlation: float
    overlap: float
    crossing: float | None = None

    def record(self) -> dict[str, Any]:
        """Return it as plain values."""
        numbers = {"similarity": round(self.similarity, 4), "overlap": round(self.overlap, 4)}
        if self.crossing is not None:
            numbers["crossing"] = round(self.crossing, 4)
        return {"to_view": self.matrix.tolist(), **numbers}


def align(
    reference: Case, view: Case, entry: dict[str, Any], model: Checkpoint | None = None
) -> Alignment:
    """Register a view, and measure how alike it is to the reference then.

    Args:
        reference: The view that stays.
        view: Another one.
        entry: Of `registration`: its kind and fields of its `Params`.
        model: Of a kind that learns: what its training returned.

    Raises:
        ValueError: If a view is empty, or the registration finds nothing.
    """
    matrix = register(reference, view, entry, model)
    region = entry.get("region", "image")
    fixed, moved = see(reference, region), see(view, region)
    inside = overlap(fixed, moved, from_world(matrix))
    pair = _in_common(fixed, moved, matrix)
    if pair[0].size < _FEWEST:
        return Alignment(matrix, 0.0, 0.0, inside)
    linear = correlation(*pair)
    other = entry.get("metric") == "mutual_information"
    masks = reference.label is reference.image  # names of tissues, no intensities
    if other:
        return Alignment(matrix, correlation_ratio(*pair), linear, inside)
    crossing = None if masks else crossing_similarity(reference, view, matrix, region)
    return Alignment(matrix, linear, linear, inside, crossing)


def _in_common(fixed: Seen, moved: Seen, matrix: Any) -> tuple[Any, Any]:
    """Intensities of both views inside the reference's body and the field of the moved view."""
    import SimpleITK

    outside = -1.0
    warped = SimpleITK.Resample(
        moved.image, fixed.image, from_world(matrix), SimpleITK.sitkLinear, outside
    )
    first, second, body = map(SimpleITK.GetArrayFromImage, (fixed.image, warped, fixed.body))
    both = (body > 0) & (second >= 0)
    return first[both].astype(np.float64), second[both].astype(np.float64)

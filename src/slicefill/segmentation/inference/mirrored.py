"""Test-time augmentation: the mean of the predictions of a scan and of its mirror images."""

from collections.abc import Set
from dataclasses import replace
from itertools import chain, combinations
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slicefill.params.base import Params as BaseParams

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor
    from slicefill.segmentation.scans import Scan
    from slicefill.types import Floats

_DIMS = {"slices": 1, "rows": 2, "columns": 3}  # of class probabilities (K, D, H, W)


class Params(BaseParams):
    """Which axes are mirrored, alone and together: n axes are 2 ** n predictions."""

    axes: list[Literal["slices", "rows", "columns"]] = Field(min_length=1, max_length=3)


def check_extended(params: Params, extended: Set[str], place: str) -> None:
    """Refuse grids whose mirror images do not lie on each other (`WrapperFile`).

    Raises:
        ValueError: If a mirrored axis is extended at one end.
    """
    if not extended.isdisjoint(params.axes):
        msg = (
            f"{place}: expected mirrored before subvoxel_shift with border: extend, got it after: "
            "mirror images of a grid that extends at one end do not lie on each other; put "
            "mirrored first in the list"
        )
        raise ValueError(msg)


def wrap(predictor: "Predictor", params: Params) -> "Predictor":
    """Return a predictor that averages over all mirror images (`WrapperFile`).

    The result is equivariant: of a mirrored scan it is the mirror image.
    """
    import numpy as np

    dims = [_DIMS[name] for name in params.axes]
    images = [*chain.from_iterable(combinations(dims, n) for n in range(len(dims) + 1))]

    def predict(scan: "Scan") -> "Floats":
        total = np.zeros(1, np.float32)
        for mirrored in images:
            # an image is (D, C, H, W): its slices lie one dimension before those of a prediction
            axes = tuple(0 if dim == 1 else dim for dim in mirrored)
            image = np.ascontiguousarray(np.flip(scan.image, axes))
            total = total + np.flip(predictor(replace(scan, image=image)), mirrored)
        mean: Floats = total / np.float32(len(images))
        return mean

    return predict

"""Imputation of a tensor with channels in front: what the adapters share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicefill import api
from slicefill.ingestion.nifti import new_volume
from slicefill.ingestion.reading import checked_case
from slicefill.params.imputation import imputation_params
from slicefill.params.ingestion import own_scans
from slicefill.types import Array, Volume

_WIDENED = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.bool: torch.uint8}

Placed = tuple[torch.Tensor, Any]
"""A tensor `(C, I, J, K)` and its affine: voxel to world, `(4, 4)`, mm, RAS+."""


@dataclass(frozen=True)
class Rule:
    """How tensors are imputed; the fields are those of `slicefill.impute`.

    Attributes:
        method: `pretrained`, `linear`, ….
        spacing: mm between slices wanted; None: as `count` says.
        count: Synthetic slices per interval; None: as many as make voxels nearly cubic.
        params: Its further parameters.

    Raises:
        ValueError: If a parameter does not fit.
    """

    method: str | Mapping[str, Any] = "pretrained"
    spacing: float | None = None
    count: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        imputation_params(**self.grid)

    @property
    def grid(self) -> dict[str, Any]:
        """Parameters but for the method."""
        return {"spacing": self.spacing, "count": self.count, **self.params}


def impute_tensor(
    image: Placed, label: Placed | None, rule: Rule
) -> tuple[torch.Tensor, torch.Tensor | None, NDArray[np.float64]]:
    """Impute an image, and its label map.

    Args:
        image: `(C, I, J, K)`, any intensities and dtype; all channels move alike.
        label: Whole numbers, `(1, I, J, K)`, on the grid of the image; or None.
        rule: How.

    Returns:
        Image and label on the denser grid, in their dtypes and on their devices, acquired slices
        unchanged; no label where there was none; and the affine of that grid.

    Raises:
        ValueError: If shapes or affines do not fit, labels are not whole, or the method imputes
            none.
    """
    case = checked_case(_volume(image), None if label is None else _volume(label), own_scans())
    imputed = api.impute(case, method=rule.method, **rule.grid)
    moved = None
    if label is not None:
        if imputed.label is None:
            msg = f"method {rule.method}: it imputes no labels; choose another, or give it none"
            raise ValueError(msg)
        moved = _tensor(imputed.label.stored, label[0])
    return _tensor(imputed.image.stored, image[0]), moved, imputed.image.affine


def _volume(placed: Placed) -> Volume:
    tensor, affine = placed
    if tensor.ndim != 4:
        msg = f"expected a tensor (C, I, J, K), the channels in front, got {tuple(tensor.shape)}"
        raise ValueError(msg)
    plain = tensor.detach().cpu().to(_WIDENED.get(tensor.dtype, tensor.dtype))
    stored: Array = np.moveaxis(plain.as_subclass(torch.Tensor).numpy(), 0, -1)
    stored = stored[..., 0] if stored.shape[-1] == 1 else stored
    return new_volume(stored, np.asarray(affine, dtype=np.float64))


def _tensor(stored: Array, like: torch.Tensor) -> torch.Tensor:
    channels = stored[..., None] if stored.ndim == 3 else stored
    made = torch.from_numpy(np.ascontiguousarray(np.moveaxis(channels, -1, 0)))
    return made.to(device=like.device, dtype=like.dtype)

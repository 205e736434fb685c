"""Imputation of a tensor with channels in front: what the adapters share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slicefill import api
from slicefill.ingestion.checks import check_same_grid
from slicefill.ingestion.labels import merge_labels
from slicefill.ingestion.nifti import new_header
from slicefill.params import ImputationParams
from slicefill.params.ingestion import LabelParams
from slicefill.types import Array, Case, Volume

_AS_THEY_ARE = LabelParams(need="optional", names={0: "background"}, groups=None, unlisted="keep")
_WIDENED = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.bool: torch.uint8}
_NEAR = 0.01  # mm; between the corners of an image and of its label map

Placed = tuple[torch.Tensor, Any]
"""A tensor `(C, I, J, K)` and its affine: voxel to world, `(4, 4)`, mm, RAS+."""


@dataclass(frozen=True)
class Rule:
    """How tensors are imputed.

    Attributes:
        method: As in `api.impute`.
        spacing: Slice spacing that comes nearest to it, mm; None: nearly cubic voxels.
        params: Further fields of `ImputationParams`.

    Raises:
        ValueError: If a parameter does not fit.
    """

    method: str | Mapping[str, Any] = "pretrained"
    spacing: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ImputationParams.model_validate(self.fields)

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of `ImputationParams`."""
        target = {} if self.spacing is None else {"count": None, "target_spacing": self.spacing}
        return {**target, **self.params}


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
    scan, ids = _volume(image), None
    if label is not None:
        ids = merge_labels(_volume(label), _AS_THEY_ARE)
        check_same_grid(scan, ids, _NEAR)
    imputed = api.impute(Case(scan, ids), rule.method, **rule.fields)
    if ids is not None and imputed.label is None:
        msg = f"method {rule.method}: it imputes no labels; choose another, or give it none"
        raise ValueError(msg)
    moved = None
    if label is not None and imputed.label is not None:
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
    return Volume(stored, new_header(stored, np.asarray(affine, dtype=np.float64)))


def _tensor(stored: Array, like: torch.Tensor) -> torch.Tensor:
    channels = stored[..., None] if stored.ndim == 3 else stored
    made = torch.from_numpy(np.ascontiguousarray(np.moveaxis(channels, -1, 0)))
    return made.to(device=like.device, dtype=like.dtype)

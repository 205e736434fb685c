"""Imputation as a MONAI transform."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from monai.utils.misc import ensure_tuple

from slicefill.adapters.tensors import Rule, impute_tensor


class Imputed(MapTransform):
    """Impute the slices between the acquired slices of scans and their label maps.

    Scans are MetaTensors with the channel in front, as `LoadImaged(…, ensure_channel_first=True)`
    gives them; affine and shape become those of the denser grid.

    Args:
        keys: Of the scans.
        label_keys: Of their label maps, one for each scan, in the same order; None: no labels.
        method: As in `slicefill.impute`, and so are the next three.
        spacing: mm between slices wanted.
        count: Synthetic slices per interval; without both, nearly cubic voxels.
        params: Further parameters.
        allow_missing_keys: Leave out a scan that a dictionary lacks, with its labels, or a label.

    Raises:
        ValueError: If a parameter, or a label map, does not fit.
        TypeError: If a scan has no affine.

    Example:
        ```python
        from monai.transforms import Compose, LoadImaged
        from slicefill.adapters.monai import Imputed

        load = LoadImaged(["image", "label"], ensure_channel_first=True)
        transform = Compose([load, Imputed("image", label_keys="label", spacing=1.0)])
        ```
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection | None = None,
        *,
        method: str | Mapping[str, Any] = "pretrained",
        spacing: float | None = None,
        count: int | None = None,
        params: Mapping[str, Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_keys = ensure_tuple(label_keys) if label_keys else (None,) * len(self.keys)
        if len(self.label_keys) != len(self.keys):
            msg = f"label_keys: expected one for each of {self.keys}, got {self.label_keys}"
            raise ValueError(msg)
        self.rule = Rule(method, spacing, count, params or {})

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with scans and label maps imputed."""
        done = dict(data)
        for key, label_key in self.key_iterator(done, self.label_keys):
            scan, label = done[key], None
            if label_key is not None and (label_key in done or not self.allow_missing_keys):
                label = done[label_key]
            if not isinstance(scan, MetaTensor):
                got = type(scan).__name__
                msg = f"{key}: expected a MetaTensor, as LoadImaged makes it, got {got}"
                raise TypeError(msg)
            affine = getattr(label, "affine", scan.affine)
            placed = None if label is None else (label, affine)
            image, moved, affine = impute_tensor((scan, scan.affine), placed, self.rule)
            done[key] = _like(scan, image, affine)
            if label is not None and moved is not None:
                done[label_key] = _like(label, moved, affine)
        return done


def _like(old: torch.Tensor, tensor: torch.Tensor, affine: Any) -> MetaTensor:
    """Give a tensor the metadata of the old one, and another affine."""
    meta = dict(getattr(old, "meta", {}))
    meta.pop("affine", None)
    done = getattr(old, "applied_operations", [])
    return MetaTensor(tensor, torch.as_tensor(affine), meta=meta, applied_operations=done)

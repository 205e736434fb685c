"""Imputation as a TorchIO transform."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torchio

from slicefill.adapters.tensors import Rule, impute_tensor


class Impute(torchio.Transform):
    """Impute the slices between the acquired slices of a subject's images and label maps.

    Label maps are imputed with the first image, so they must be on its grid. Affines become those
    of the denser grid.

    Args:
        method: As in `slicefill.impute`, and so are the next three.
        spacing: mm between slices wanted.
        count: Synthetic slices per interval; without both, nearly cubic voxels.
        params: Further parameters.
        **kwargs: Of `torchio.Transform`: `p`, `include`, `exclude`, …

    Raises:
        ValueError: If a parameter does not fit, or there are label maps but no image.

    Example:
        ```python
        import torchio
        from slicefill.adapters.torchio import Impute

        subject = torchio.Subject(image=torchio.ScalarImage("scan.nii.gz"))
        isotropic = Impute(spacing=1.0)(subject)
        ```
    """

    def __init__(
        self,
        method: str | Mapping[str, Any] = "pretrained",
        spacing: float | None = None,
        count: int | None = None,
        params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.method, self.spacing, self.count = method, spacing, count
        self.params = dict(params or {})
        self.rule = Rule(method, spacing, count, self.params)
        self.args_names = ["method", "spacing", "count", "params"]

    def apply_transform(self, subject: torchio.Subject) -> torchio.Subject:
        """Impute every image in place; TorchIO hands over a copy."""
        chosen = subject.get_images(
            intensity_only=False, include=self.include, exclude=self.exclude
        )
        labels = [image for image in chosen if isinstance(image, torchio.LabelMap)]
        images = [image for image in chosen if not isinstance(image, torchio.LabelMap)]
        if labels and not images:
            msg = "Impute: expected an image beside the label maps, for they follow it; got none"
            raise ValueError(msg)
        with np.errstate(all="warn", under="ignore"):  # TorchIO makes errors of NaN
            for image in images:
                self._impute(image, labels if image is images[0] else [])
        return subject

    def _impute(self, image: torchio.Image, labels: list[torchio.LabelMap]) -> None:
        placed = image.data, image.affine
        followers: list[torchio.LabelMap | None] = [*labels] or [None]
        for label in followers:
            ids = None if label is None else (label.data, label.affine)
            data, moved, affine = impute_tensor(placed, ids, self.rule)
            image.set_data(data)
            image.affine = affine
            if label is not None and moved is not None:
                label.set_data(moved)
                label.affine = affine

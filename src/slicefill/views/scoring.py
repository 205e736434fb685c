"""How well fused views agree with the truth that simulated views have."""

from collections.abc import Mapping

import numpy as np

from slicefill.types import Array, Case, Volume


def score_fused(fused: Case, truth: Case, names: Mapping[int, str]) -> dict[str, float]:
    """Score a fused label map.

    Args:
        fused: Of simulated views; on the voxels of the truth or between them.
        truth: The isotropic case that the views were taken from.
        names: Label id to name; 0 is not scored.

    Returns:
        The metrics of fusions per label, as `<metric>_<name>`, and on average, as `<metric>_mean`.
        A label that the truth lacks has none of them.

    Raises:
        ValueError: If either has no label.
    """
    from slicefill.metrics.overlap import MaskPair
    from slicefill.metrics.scoring import score_labels

    if fused.label is None or truth.label is None:
        msg = "expected a fused label map and a true one: views are scored by their labels"
        raise ValueError(msg)
    found, real = fused.label.stored, on_grid_of(fused.image, truth.label)
    everywhere = np.ones(len(found), bool)
    pairs = {
        name: MaskPair(found == number, real == number, fused.image.spacing, everywhere)
        for number, name in names.items()
        if number
    }
    return score_labels({name: pair for name, pair in pairs.items() if pair.truth.any()}, "fusions")


def on_grid_of(image: Volume, label: Volume) -> Array:
    """Take the nearest voxel of a label map at every voxel of an image; 0 outside of it."""
    from scipy.ndimage import affine_transform

    index_map = np.linalg.inv(label.affine) @ image.affine
    return np.asarray(
        affine_transform(
            label.stored,
            index_map[:3, :3],
            index_map[:3, 3],
            image.stored.shape[:3],
            order=0,
            mode="grid-constant",
        )
    )

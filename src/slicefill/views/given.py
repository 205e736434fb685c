"""Views as users give them: images with label maps or without, or the label maps alone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from slicefill.types import Array, Case, Volume

Given = Literal["auto", "images", "masks"]
_ALIKE = 0.75  # of the neighbours with a label: label maps are flat, images are not


def masks_as_labels(views: Mapping[str, Case], given: Given) -> tuple[dict[str, Case], bool]:
    """Take views without label maps for label maps themselves, if that is what they are.

    Args:
        views: By name.
        given: `images`: they are images; `masks`: they are label maps; `auto`: they are label maps
            if no view comes with a label map and all look like one.

    Returns:
        The views, and whether they are label maps; each is then its own label.

    Raises:
        ValueError: If they are said to be label maps, but a number is not whole or below 0.
    """
    labelled = any(view.label is not None for view in views.values())
    if given == "images" or (given == "auto" and labelled):
        return dict(views), False
    if given == "auto" and not all(looks_like_labels(view.image) for view in views.values()):
        return dict(views), False
    return {name: _labelled(name, view) for name, view in views.items()}, True


def looks_like_labels(volume: Volume) -> bool:
    """Whether numbers are whole, begin at 0, and neighbours that are not 0 are mostly equal."""
    stored = volume.stored
    if stored.ndim > 3 or volume.slope_intercept != (1.0, 0.0) or not _whole(stored):
        return False
    first, second = stored[:-1], stored[1:]
    both = (first > 0) & (second > 0)
    return bool(both.any() and (first[both] == second[both]).mean() > _ALIKE)


def _labelled(name: str, view: Case) -> Case:
    stored = view.image.stored
    if stored.ndim > 3 or not _whole(stored):
        msg = (
            f"{name}: expected a label map, with whole numbers from 0 on, got {stored.dtype} from "
            f"{stored.min():g} to {stored.max():g}; if it is an image, leave masks out"
        )
        raise ValueError(msg)
    named = view.image.with_stored(stored.astype(np.min_scalar_type(int(stored.max()))))
    return replace(view, image=named, label=named)


def _whole(stored: Array) -> bool:
    return bool(stored.min() == 0 and (stored == np.rint(stored)).all() and stored.max() < 2**32)

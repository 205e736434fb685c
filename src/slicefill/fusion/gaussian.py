"""Fusion by nearness to acquired slices: a Gaussian along each view's through-plane axis."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from slicefill.fusion import heaviest
from slicefill.grids.sampled import Placed, Sampled
from slicefill.params.base import Params as BaseParams
from slicefill.params.base import Positive
from slicefill.types import Array, Floats


class Params(BaseParams):
    """How wide the Gaussian is."""

    sigma: Positive | None = Field(
        None,
        description="share of the distance of slices; null: as published, half of (half that "
        "distance + a pixel)",
    )


def fuse(views: Sequence[Sampled], params: Params) -> tuple[Array, Floats]:
    """Take the label with most of the weights of all views (`FusionFile`).

    Reference:
        SuperMask, eq. (3), with weights that sum to 1 over the views: Σ P_i M_i / Σ P_i.
    """
    weights = [nearness(view, params.sigma)[None] * view.shares for view in views]
    return heaviest(np.concatenate([view.ids for view in views]), np.concatenate(weights))


def nearness(view: Placed, sigma: float | None) -> Floats:
    """Weight P of a view by the distance to its acquired slices, `(I, J, K)`.

    The sum over the slices within d / 2 + a pixel of exp(-distance² / 2 σ²); 0 where the view does
    not cover. Beyond the outer slices there is one slice.

    Args:
        view: With slices d apart.
        sigma: Share of d; None: (d / 2 + pixel) / 2, as published.
    """
    reach = view.slice_mm / 2 + view.pixel_mm
    width = reach / 2 if sigma is None else sigma * view.slice_mm
    place = np.nan_to_num(view.place, nan=-np.inf)
    total = np.zeros(place.shape, np.float32)
    below = np.clip(np.floor(np.where(view.covered, place, 0)), 0, view.slices - 1)
    further = int(reach / view.slice_mm)  # slices beyond the two neighbours
    for step in range(-further, further + 2):
        distance = np.abs(place - below - step) * view.slice_mm
        counts = (distance <= reach) & (below + step >= 0) & (below + step < view.slices)
        total += np.where(counts, np.exp(-(distance**2) / (2 * width**2)), 0).astype(np.float32)
    return total

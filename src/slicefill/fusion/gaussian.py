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
    weights, most = nearness(views, params.sigma)
    shares = [weight[None] * view.shares for weight, view in zip(weights, views, strict=True)]
    label, total = heaviest(np.concatenate([view.ids for view in views]), np.concatenate(shares))
    return label, total * most


def nearness(views: Sequence[Placed], sigma: float | None) -> tuple[Floats, Floats]:
    """Weights P of views by the distance to their acquired slices.

    The sum over the slices within d / 2 + a pixel, and the nearest one in any case, of
    exp(-distance² / 2 σ²). Beyond the outer slices there is one slice.

    Args:
        views: With slices d apart.
        sigma: Share of d; None: (d / 2 + pixel) / 2, as published.

    Returns:
        P as a share of the greatest P at a voxel, `(V, I, J, K)`, 0 where a view does not cover;
        and that greatest P, `(I, J, K)`, which may be as small as 0 between slices if σ is narrow:
        the shares still say which view is near.
    """
    logarithms = np.stack([_log_nearness(view, sigma) for view in views])
    most = logarithms.max(axis=0)
    shares = np.exp(logarithms - np.where(np.isinf(most), 0, most))
    return shares, np.exp(most)


def _log_nearness(view: Placed, sigma: float | None) -> Floats:
    """Logarithm of P, `(I, J, K)`; -inf where the view does not cover."""
    reach = view.slice_mm / 2 + view.pixel_mm
    width = reach / 2 if sigma is None else sigma * view.slice_mm
    nearest, last = view.nearest, len(view.acquired) - 1
    total = np.where(view.covered, -((view.apart(nearest) / width) ** 2) / 2, 0)
    further = int(reach / view.slice_mm) + 1  # slices on either side of the nearest one
    for number in (nearest + step for step in range(-further, further + 1) if step):
        distance = view.apart(np.clip(number, 0, last))
        counts = (distance <= reach) & (number >= 0) & (number <= last)
        total = np.logaddexp(total, np.where(counts, -((distance / width) ** 2) / 2, -np.inf))
    return np.where(view.covered, total, -np.inf).astype(np.float32)

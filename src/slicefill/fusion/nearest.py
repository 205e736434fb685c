"""The view with the nearest acquired slice decides."""

from collections.abc import Sequence

import numpy as np

from slicefill.fusion import heaviest
from slicefill.grids.sampled import Sampled
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Floats


class Params(BaseParams):
    """Nothing is to be chosen."""


def fuse(views: Sequence[Sampled], params: Params) -> tuple[Array, Floats]:
    """Take the label of the view whose acquired slice is nearest, in mm (`FusionFile`).

    Of views that are as near, the earliest one.
    """
    apart = [view.apart(view.nearest) for view in views]
    distance = np.nan_to_num(np.stack(apart), nan=np.inf)
    chosen = distance.argmin(axis=0)
    weights = [view.shares * (chosen == number) for number, view in enumerate(views)]
    return heaviest(np.concatenate([view.ids for view in views]), np.concatenate(weights))

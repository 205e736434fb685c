"""Majority vote of the label maps of several views."""

from collections.abc import Sequence

import numpy as np

from slicefill.fusion import heaviest
from slicefill.grids.sampled import Sampled
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Floats


class Params(BaseParams):
    """Nothing is to be chosen."""


def fuse(views: Sequence[Sampled], params: Params) -> tuple[Array, Floats]:
    """Take the label that most views have; of tied labels that of the earliest view (`FusionFile`).

    A view has the label with the greatest share of the voxels around; one that does not cover a
    voxel does not vote.
    """
    ids = np.stack([heaviest(view.ids, view.shares)[0] for view in views])
    return heaviest(ids, np.stack([view.covered for view in views]).astype(np.float32))

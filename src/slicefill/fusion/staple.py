"""STAPLE: views vote with weights by how reliable they turn out to be, label by label."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from slicefill.fusion import heaviest
from slicefill.grids.sampled import Sampled
from slicefill.params.base import Count
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Floats

WHOLE = True
"""How reliable a view is, all voxels say together."""


class Params(BaseParams):
    """When to stop."""

    steps: Count = Field(50, description="at most, of the expectation maximisation")


def fuse(views: Sequence[Sampled], params: Params) -> tuple[Array, Floats]:
    """Estimate the labels and the reliability of the views by turns (`FusionFile`).

    Where a view does not cover a voxel, it stands for the background. What cannot be decided has
    the label that most views have.

    Reference:
        Warfield, Zou, Wells: Simultaneous truth and performance level estimation, 2004; SimpleITK.
    """
    import SimpleITK

    ids = np.stack([heaviest(view.ids, view.shares)[0] for view in views])
    covered = np.stack([view.covered for view in views]).astype(np.float32)
    vote, weight = heaviest(ids, covered)
    names, dense = np.unique(ids, return_inverse=True)
    if len(names) == 1 or len(views) == 1:
        return vote, weight
    images = [SimpleITK.GetImageFromArray(each.astype(np.uint16)) for each in dense]
    staple = SimpleITK.MultiLabelSTAPLEImageFilter()
    staple.SetMaximumNumberOfIterations(params.steps)
    staple.SetLabelForUndecidedPixels(len(names))
    found = SimpleITK.GetArrayFromImage(staple.Execute(images)).reshape(vote.shape)
    label = np.where(found < len(names), names[np.minimum(found, len(names) - 1)], vote)
    agreeing = ((ids == label) * covered).sum(axis=0)
    return label.astype(ids.dtype), agreeing.astype(np.float32)

"""Majority vote of the label maps of several views."""

from collections.abc import Sequence

import numpy as np

from slicefill.params.base import Params as BaseParams
from slicefill.types import Prediction


class Params(BaseParams):
    """Nothing is to be chosen."""


def fuse(views: Sequence[Prediction], params: Params) -> Prediction:
    """Take the label that most views have; of tied labels that of the earliest view (`FusionFile`).

    Raises:
        ValueError: If there is no view, or the views lie on different grids.
    """
    shapes = {view.label.stored.shape for view in views}
    if len(shapes) != 1:
        msg = f"fusion: expected label maps of one shape, got {sorted(shapes) or 'no view'}"
        raise ValueError(msg)
    labels = np.stack([view.label.stored for view in views])
    votes = np.stack([(labels == label).sum(axis=0) for label in labels])
    chosen = np.take_along_axis(labels, votes.argmax(axis=0)[None], axis=0)[0]
    return Prediction(views[0].label.with_stored(chosen), record={"views": len(views)})

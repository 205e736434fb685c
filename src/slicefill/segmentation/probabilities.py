"""What a network returns are class probabilities of the scan, or it is refused."""

import numpy as np

from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.types import Floats

_SUM = 1e-3  # by which probabilities may miss 1


def checked(predictor: Predictor, classes: int, name: str) -> Predictor:
    """Return a predictor that refuses what a network returns if it is not class probabilities.

    Args:
        predictor: The network.
        classes: How many there should be, the background among them; 0: not known.
        name: Of the network, for messages.

    Raises:
        ValueError: By the predictor: of another shape than the scan, or if the probabilities of a
            voxel are below 0, or do not sum to 1.
    """

    def predict(scan: Scan) -> Floats:
        found = np.asarray(predictor(scan), np.float32)
        shape = (len(scan.image), *scan.image.shape[2:])
        if found.ndim != 4 or found.shape[1:] != shape or classes not in (0, len(found)):
            msg = (
                f"{name}: expected probabilities of {classes or 'some'} classes "
                f"(segmentation.label_names), {(classes or 'K', *shape)}, got {found.shape}"
            )
            raise ValueError(msg)
        if not (error := float(np.abs(found.sum(0) - 1).max())) <= _SUM:  # nan, too
            msg = f"{name}: expected probabilities that sum to 1 over classes, got {error:.3g} off"
            raise ValueError(msg)
        if (least := float(found.min(initial=0))) < -_SUM:
            msg = f"{name}: expected probabilities, got {least:.3g}: return those, not logits"
            raise ValueError(msg)
        return found

    return predict

"""Distance of the intensities of a whole set of synthetic slices to those of the real ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import Metric
from slicefill.metrics.image import ImagePair
from slicefill.types import Array

_BINS = 256


def intensity_histograms(pair: ImagePair, mask: Array) -> NDArray[np.int64]:
    """Count the intensities of one channel of one case.

    Args:
        pair: The slices; the data range of the truth is the unit, values outside it count as its
            ends.
        mask: Which voxels count, bool, `(D, H, W)`.

    Returns:
        Voxels per bin of the synthetic and of the true slices, `(2, 256)`.
    """
    images = (pair.prediction, pair.truth)
    scaled = [np.clip((image[mask] - pair.low) / pair.data_range, 0, 1) for image in images]
    return np.stack([np.histogram(one, _BINS, (0, 1))[0] for one in scaled])


def intensity_distance(histograms: Sequence[Array]) -> float:
    """Wasserstein-1 distance of pooled intensities: how far they must move, on average.

    Args:
        histograms: Of synthetic and of true slices, `(2, bins)` each, over the data range.

    Returns:
        Fraction of the data range, at least 0; lower is better; nan where no voxel counts.

    Example:
        Half of the voxels must move by one of four bins, which is 1/8 of the range on average:

        >>> intensity_distance([np.array([[1, 0, 0, 0], [0, 1, 0, 0]]), np.eye(4)[[3, 3]]])
        0.125
    """
    from scipy.stats import wasserstein_distance

    synthetic, true = np.sum(histograms, axis=0)
    if not synthetic.any() or not true.any():
        return float("nan")
    centres = (np.arange(len(true)) + 0.5) / len(true)
    return float(wasserstein_distance(centres, centres, synthetic, true))


METRICS = (
    Metric(
        "intensity_distance",
        intensity_distance,
        label="distance of intensities",
        unit="fraction of range",
        of=("images",),
        better="lower",
        ideal=0,
        per="set",
        describe=intensity_histograms,
    ),
)

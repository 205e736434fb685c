"""Comparison of a scan with the training domain: intensities, size of structures, factor."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from slicefill.params.pretraining import DomainParams
from slicefill.types import Floats

_FLAT = 1e-6  # least slope, of an image without structure


def summarise_domain(volumes: Iterable[Floats], params: DomainParams) -> dict[str, Any]:
    """Summarise training volumes, as plain values that a checkpoint keeps as `domain`.

    Args:
        volumes: Each `(D, H, W)`, intensities in [0, 1]; one is held at a time.
        params: Bins, the fraction of volumes that is usual, and the factors of training.

    Returns:
        `histogram`, the mean of all; `distance`, the largest distance of the usual volumes from it;
        `structure`, smallest and largest size of structures in the usual volumes, pixels;
        `factors`, smallest and largest, pixels.

    Raises:
        ValueError: If there is no volume.
    """
    seen = [(histogram(v, params.bins), structure_size(v)) for v in volumes]
    if not seen:
        msg = "summarise_domain: expected at least one volume, got none"
        raise ValueError(msg)
    histograms, sizes = (np.stack(part) for part in zip(*seen, strict=True))
    mean = histograms.mean(0)
    distances = [histogram_distance(own, mean) for own in histograms]
    rest = (1 - params.usual) / 2
    return {
        "histogram": mean.tolist(),
        "distance": float(np.quantile(distances, params.usual)),
        "structure": np.quantile(sizes, [rest, 1 - rest]).tolist(),
        "factors": list(params.factors),
    }


def check_domain(slices: Floats, factor: float, domain: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a scan with the training domain.

    Args:
        slices: `(D, H, W)`, intensities in [0, 1].
        factor: From one acquired slice to the next, pixels.
        domain: As `summarise_domain` returned it.

    Returns:
        `histogram_distance`, `structure_pixels` and `factor` of the scan, and `outside`: one
        sentence for each that lies outside the training domain, with both numbers.
    """
    own = histogram(slices, len(domain["histogram"]))
    distance = histogram_distance(own, np.asarray(domain["histogram"]))
    size = structure_size(slices)
    outside = []
    if distance > domain["distance"]:
        outside.append(
            f"intensities are {distance:.3f} of the window away from those of training "
            f"(usual: up to {domain['distance']:.3f})"
        )
    low, high = domain["structure"]
    if not low <= size <= high:
        outside.append(f"structures are {size:.1f} pixels large (usual: {low:.1f} to {high:.1f})")
    low, high = domain["factors"]
    if not low <= round(factor) <= high:
        outside.append(f"slices are {factor:.1f} pixels apart (trained: {low} to {high})")
    return {
        "histogram_distance": distance,
        "structure_pixels": size,
        "factor": factor,
        "outside": outside,
    }


def histogram(slices: Floats, bins: int) -> NDArray[np.float64]:
    """Shares of voxels in equal bins over [0, 1], `(bins,)`.

    Example:
        >>> histogram(np.array([0.1, 0.2, 0.9, 1.0], np.float32), 2).tolist()
        [0.5, 0.5]
    """
    counts, _ = np.histogram(slices, bins, range=(0, 1))
    return counts / slices.size


def histogram_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Wasserstein distance: how far intensities must move on average, in [0, 1].

    Example:
        All of one histogram lies two bins of four to the right of the other:

        >>> histogram_distance(np.array([1.0, 0, 0, 0]), np.array([0, 0, 1.0, 0]))
        0.5
    """
    edges = np.arange(len(first)) / len(first)
    return float(wasserstein_distance(edges, edges, first, second))


def structure_size(slices: Floats) -> float:
    """Size of the structures in slices, pixels.

    The standard deviation by the root mean square slope within slices: small where there is noise
    or fine texture, large where there are few smooth objects.

    Example:
        Columns of 0 and 1 in turn deviate by 1/2; the slope is 1 along rows and 0 along columns:

        >>> stripes = np.tile([0.0, 1.0], (1, 4, 2)).astype(np.float32)
        >>> round(structure_size(stripes), 4)
        0.7071
    """
    slopes = [np.square(np.diff(slices, axis=axis)).mean(dtype=np.float64) for axis in (1, 2)]
    return float(slices.std(dtype=np.float64) / max(np.sqrt(np.mean(slopes)), _FLAT))

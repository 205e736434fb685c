"""A procedural isotropic case, its subsampled version, and the scores of its imputation."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from slicefill.geometry import step_map
from slicefill.metrics.image import psnr
from slicefill.metrics.overlap import dice
from slicefill.simulation.procedural import paint, scan
from slicefill.simulation.shapes import random_labels
from slicefill.types import Array, Case, Volume

_BODY = (0.37, 0.30, 0.46)  # semi-axes of the body as shares of the volume: a head in its field
_RANGE = 1000  # of the stored intensities, 0 to this
_STRUCTURES = 3  # that are labelled, as few as a segmentation of a scan has
_SEED = 2026


@dataclass(frozen=True)
class Scan:
    """Size of a scan.

    Attributes:
        size: Voxels of the anisotropic volume, slices last.
        factor: Slice spacing over pixel spacing; factor - 1 slices impute an interval.
    """

    size: tuple[int, int, int]
    factor: int

    def __str__(self) -> str:
        return f"{' × '.join(map(str, self.size))}, ×{self.factor}"


def body(size: tuple[int, int, int]) -> Array:
    """Mask of an ellipsoid that fills as much of its field as a head, bool."""
    grid = np.meshgrid(
        *[np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in size], indexing="ij", sparse=True
    )
    inside: Array = sum((x / radius) ** 2 for x, radius in zip(grid, _BODY, strict=True)) < 1
    return inside


def make_truth(of: Scan) -> Case:
    """Make random shapes in a body on a background of zeros, as if scanned; deterministic.

    Returns:
        Isotropic, int16 from 0 to 1000. The structures drawn last are labelled; the map `body` is
        the mask of the body.
    """
    rows, columns, depth = of.size
    size = (rows, columns, (depth - 1) * of.factor + 1)
    rng = np.random.default_rng(_SEED)
    shapes, inside = random_labels(size, rng), body(size)
    shown, _ = scan(paint(shapes, rng), rng)
    lowest = int(shapes.max()) - _STRUCTURES
    label = np.where(inside & (shapes > lowest), shapes - lowest, 0)
    image = _volume(np.rint(_RANGE * shown * inside).astype(np.int16))
    return Case(image, _volume(label.astype(np.uint8)), {"body": _volume(inside.astype(np.uint8))})


def thin(truth: Case, factor: int) -> Case:
    """Keep every slice whose number `factor` divides."""
    image, label = (
        volume.with_stored(volume.stored[..., ::factor], step_map(2, factor))
        for volume in (truth.image, truth.label)
    )
    return Case(image, label)


def score(imputed: Case, truth: Case, factor: int) -> dict[str, float]:
    """PSNR in the body (dB) and mean Dice of the labels, on synthetic slices only."""
    synthetic = np.arange(truth.image.stored.shape[2]) % factor != 0
    found, real, inside = (
        volume.stored[..., synthetic] for volume in (imputed.image, truth.image, truth.maps["body"])
    )
    error = found.astype(np.float32), real.astype(np.float32)
    labels = imputed.label.stored[..., synthetic], truth.label.stored[..., synthetic]
    overlaps = [dice(*(own == n for own in labels)) for n in range(1, _STRUCTURES + 1)]
    return {"psnr": psnr(*error, inside > 0, _RANGE), "dice": float(np.nanmean(overlaps))}


def _volume(stored: Array) -> Volume:
    return Volume(stored, nib.Nifti1Image(stored, np.eye(4)).header)

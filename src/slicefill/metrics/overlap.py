"""Agreement of two masks: overlap, volume and surface.

What cannot be measured is nan: everything where both masks are empty; where one is, distances,
and the volume difference to an empty truth. Dice and surface Dice are then 0, the volume
difference of an empty prediction is -1. `metrics.segmentation.score_segmentation` has a policy for
empty masks and counts them.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import Metric
from slicefill.types import Array

_NAN = float("nan")


class SurfaceDistances(NamedTuple):
    """Distances between the surface voxels of two masks, mm; 0 is best."""

    assd: float
    mssd: float
    hd95: float
    rms: float


@dataclass(frozen=True, eq=False)
class MaskPair:
    """Where one label lies in a case and where it truly lies.

    Attributes:
        prediction: Bool, `(D, H, W)`.
        truth: Bool, same shape.
        spacing: Slice, row and column pitch, mm, `(3,)`.
        judged: The slices that overlap and volume are measured on, bool, `(D,)`; surfaces are
            measured in 3D on all of them.
        tolerance: Of the surface Dice, mm.
    """

    prediction: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    spacing: Array
    judged: NDArray[np.bool_]
    tolerance: float = 1.0

    @property
    def slices(self) -> tuple[Array, Array]:
        """Prediction and truth on the slices that are judged."""
        return self.prediction[self.judged], self.truth[self.judged]

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Distances of the surfaces: they take long, and three metrics need them."""
        return surface_distances(self.prediction, self.truth, self.spacing)


def dice(prediction: Array, truth: Array) -> float:
    """Dice coefficient 2|P ∩ T| / (|P| + |T|), eq. (15), in [0, 1]; higher is better.

    Example:
        >>> dice(np.array([True, True, True]), np.array([False, True, False]))  # 2·1 / (3 + 1)
        0.5
    """
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else _NAN


def mean_dice(prediction: Array, truth: Array, ids: Sequence[int]) -> float:
    """Mean Dice coefficient over labels, in [0, 1]; 0 without any, nan if both maps lack one.

    Example:
        >>> mean_dice(np.array([1, 1, 2]), np.array([1, 2, 2]), [1, 2])  # 2/3 for both
        0.6666666666666666
    """
    return float(np.mean([dice(prediction == i, truth == i) for i in ids])) if len(ids) else 0.0


def volume_difference(prediction: Array, truth: Array) -> float:
    """Signed volume difference (|P| - |T|) / |T|, eq. (16), a fraction; 0 is best.

    Example:
        >>> volume_difference(np.array([True, True, True]), np.array([False, True, False]))
        2.0
    """
    volume = int(truth.sum())
    return (int(prediction.sum()) - volume) / volume if volume else _NAN


def surface_distances(prediction: Array, truth: Array, spacing: Array) -> SurfaceDistances:
    """Average, maximum, 95th-percentile and root mean square symmetric surface distance.

    Surface voxels are those that a face-neighbour erosion removes. ASSD is eq. (17), the mean
    over both surfaces pooled, the root mean square too; MSSD is eq. (18); HD95 is the larger of
    the two directed 95th percentiles (libraries differ here: MedPy pools both directions).

    Args:
        prediction: Bool, three axes.
        truth: Bool, same shape.
        spacing: Voxel pitch along the three axes, mm.
    """
    from scipy.ndimage import binary_erosion
    from scipy.spatial import KDTree

    if not (prediction.any() and truth.any()):
        return SurfaceDistances(_NAN, _NAN, _NAN, _NAN)
    box = _joint_box(prediction, truth)
    found, real = (
        np.argwhere(mask[box] ^ binary_erosion(mask[box])) * spacing for mask in (prediction, truth)
    )
    there, back = KDTree(real).query(found)[0], KDTree(found).query(real)[0]
    pooled = np.concatenate([there, back])
    return SurfaceDistances(
        assd=float(pooled.mean()),
        mssd=float(max(there.max(), back.max())),
        hd95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        rms=float(np.sqrt((pooled**2).mean())),
    )


def surface_dice(prediction: Array, truth: Array, spacing: Array, tolerance: float = 1.0) -> float:
    """Fraction of both surfaces within `tolerance` of the other (NSD); higher is better, in [0, 1].

    Surfaces as marching-cubes elements weighted by area (Nikolov et al., 2021).

    Args:
        prediction: Bool, three axes.
        truth: Bool, same shape.
        spacing: Voxel pitch along the three axes, mm.
        tolerance: mm.
    """
    import torch
    from monai.metrics.surface_dice import compute_surface_dice

    if not (prediction.any() and truth.any()):
        return 0.0 if prediction.any() or truth.any() else _NAN
    box = _joint_box(prediction, truth)
    found, real = (torch.from_numpy(mask[box])[None, None] for mask in (prediction, truth))
    with _monai_quiet():
        score = compute_surface_dice(
            found,
            real,
            class_thresholds=[tolerance],
            include_background=True,
            spacing=spacing.tolist(),
            use_subvoxels=True,
        )
    return float(score)


@contextmanager
def _monai_quiet() -> Iterator[None]:
    """Ignore that MONAI 1.6 calls itself with an argument that it deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        yield


def _joint_box(prediction: Array, truth: Array) -> tuple[slice, ...]:
    """Smallest box that holds both masks."""
    from scipy.ndimage import find_objects

    return tuple(find_objects((prediction | truth).astype(np.uint8))[0])


METRICS = (
    Metric(
        "dice",
        lambda pair: dice(*pair.slices),
        label="Dice",
        of=("labels", "predictions", "fusions"),
        better="higher",
        ideal=1,
        percent=True,
        digits=1,
    ),
    Metric(
        "volume_bias",
        lambda pair: volume_difference(*pair.slices),
        label="volume bias",
        unit="fraction",
        of=("labels",),
        better="nearer",
        ideal=0,
    ),
    Metric(
        "volume_bias_abs",
        lambda pair: abs(volume_difference(*pair.slices)),
        label="|volume bias|",
        unit="fraction",
        of=("labels",),
        better="lower",
        ideal=0,
        regions=("mean",),
    ),
    Metric(
        "ravd_abs",
        lambda pair: abs(volume_difference(*pair.slices)),
        label="RAVD abs",
        unit="fraction",
        of=("predictions",),
        better="lower",
        ideal=0,
        percent=True,
        digits=1,
    ),
    Metric(
        "ravd",
        lambda pair: volume_difference(*pair.slices),
        label="RAVD signed",
        unit="fraction",
        of=("predictions",),
        better="nearer",
        ideal=0,
        percent=True,
        digits=1,
        magnitude="ravd_abs",
    ),
    Metric(
        "assd",
        lambda pair: pair.distances.assd,
        label="ASSD",
        unit="mm",
        of=("labels", "predictions", "fusions"),
        better="lower",
        ideal=0,
        digits=2,
    ),
    Metric(
        "mssd",
        lambda pair: pair.distances.mssd,
        label="MSSD",
        unit="mm",
        of=("predictions",),
        better="lower",
        ideal=0,
        digits=2,
    ),
    Metric(
        "hd95",
        lambda pair: pair.distances.hd95,
        label="HD95",
        unit="mm",
        of=("predictions",),
        better="lower",
        ideal=0,
        digits=2,
    ),
    Metric(
        "nsd",
        lambda pair: surface_dice(pair.prediction, pair.truth, pair.spacing, pair.tolerance),
        label="NSD",
        of=("predictions",),
        better="higher",
        ideal=1,
        percent=True,
        digits=1,
    ),
)

"""Training windows: parts of known volumes of which every factor-th slice is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slicefill.geometry import through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.probabilistic.features import describe_images, describe_labels
from slicefill.imputation.methods.probabilistic.losses import UNKNOWN
from slicefill.imputation.methods.probabilistic.params import Params
from slicefill.training.cache import BoundedCache
from slicefill.types import Array, Floats, Promise


@dataclass(frozen=True)
class Windows:
    """A batch of windows.

    Attributes:
        features: `(B, F, S, h, w)`.
        image: The truth, in [0, 1], `(B, 1, S, h, w)`.
        fields: Distances to the true outlines, shares of `DEEP`, `(B, labels, S, h, w)`.
        label: Indices of true labels, `UNKNOWN` for cases without, `(B, S, h, w)`.
    """

    features: Tensor
    image: Tensor
    fields: Tensor
    label: Tensor

    @property
    def truth(self) -> Tensor:
        """Image and fields, as the posterior sees them."""
        return torch.cat([self.image, self.fields], 1)


class Known(NamedTuple):
    """A volume, and what is seen of it, on the same slices."""

    features: Floats
    truth: Floats
    label: Array

    @property
    def nbytes(self) -> int:
        """Of all parts."""
        return sum(part.nbytes for part in self)


class KnownVolumes:
    """Volumes whose every slice is known, seen through every factor-th of their slices.

    Args:
        cases: At least one; one image channel is drawn from where there are several.
        ids: Labels that are imputed.
        params: Windows, axis, intensities.

    Raises:
        ValueError: If a case has too few slices.
    """

    def __init__(self, cases: Mapping[str, Promise], ids: Sequence[int], params: Params) -> None:
        self._cases, self._ids, self._params = cases, ids, params
        self.names = sorted(cases)
        self._cache = BoundedCache(self._load, lambda one: one.nbytes, params.windows.cache_gb)

    def draw(self, rng: np.random.Generator, count: int) -> Windows:
        """Draw windows: cases, factors, first slices, places and mirror images at random."""
        factors = self._params.windows.factors
        cut = []
        for _ in range(count):
            factor = int(rng.choice(factors))
            name = self.names[rng.integers(len(self.names))]
            known = self.get(name, factor, int(rng.integers(factor)))
            cut.append(_cut(known, self._params.windows.size, rng))
        features, truth, label = (
            torch.from_numpy(np.stack(part)) for part in zip(*cut, strict=True)
        )
        return Windows(features, truth[:, :1], truth[:, 1:], label[:, 0].long())

    def get(self, name: str, factor: int, first: int = 0) -> Known:
        """Return a case of which the slices `first`, `first + factor`, … are seen."""
        return self._cache[f"{factor}/{first}/{name}"]

    def _load(self, key: str) -> Known:
        factor, first, name = key.split("/", 2)
        case = self._cases[name].make()
        axis = through_plane_axis(case.image.affine, self._params.through_plane)
        stack = stack_case(case, axis, self._params.window)
        return look(stack.normalised()[:, 0], stack.label, self._ids, int(factor), int(first), name)


def look(
    slices: Floats,
    label: Array | None,
    ids: Sequence[int],
    factor: int,
    first: int = 0,
    name: str = "volume",
) -> Known:
    """Look at a volume through some of its slices.

    Args:
        slices: In [0, 1], `(S, H, W)`.
        label: Ids, same shape; None: not known, nothing is learned from it.
        ids: Labels that are imputed.
        factor: Of so many slices one is seen.
        first: The first of them.
        name: Of the case, for errors.

    Raises:
        ValueError: If fewer than two slices would be seen.
    """
    count = (len(slices) - 1 - first) // factor
    if count < 1:
        msg = (
            f"{name}: expected more than {factor + first} slices, got {len(slices)}: lower "
            "probabilistic.windows.factors, or leave the case out"
        )
        raise ValueError(msg)
    box = slice(first, first + count * factor + 1)
    slices, positions = slices[box], [n / factor for n in range(1, factor)]
    background = UNKNOWN if label is None else 0
    label = np.zeros(slices.shape, np.int16) if label is None else np.asarray(label[box])
    parts = [describe_images(slices[::factor], positions)]
    if ids:
        parts.append(describe_labels(label[::factor], ids, positions))
    indices = np.full(label.shape, background, np.int16)
    for number, identity in enumerate(ids, start=1):
        indices[label == identity] = number
    truth = [slices[None], *([describe_labels(label, ids, [])] if ids else [])]
    return Known(np.concatenate(parts), np.concatenate(truth), indices[None])


def _cut(known: Known, size: Sequence[int], rng: np.random.Generator) -> list[Array]:
    """Cut a window of every part at the same place; where a volume is smaller, its edge goes on."""
    shape = known.label.shape[1:]
    starts = [int(rng.integers(max(1, n - m + 1))) for n, m in zip(shape, size, strict=True)]
    box = tuple(slice(start, start + m) for start, m in zip(starts, size, strict=True))
    missing = [(0, max(0, m - n)) for n, m in zip(shape, size, strict=True)]
    mirrored = tuple(axis for axis in range(1, 4) if rng.random() < 0.5)
    parts = [np.pad(part[:, *box], [(0, 0), *missing], mode="edge") for part in known]
    return [np.ascontiguousarray(np.flip(part, mirrored)) for part in parts]

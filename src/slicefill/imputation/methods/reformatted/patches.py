"""Patches that the network of reformatted planes learns from: every row of them is known.

Edges and textures of photographs teach it what planes of made volumes alone do not: what lies
between two rows is a matter of pictures, not of anatomy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.geometry import through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.reformatted.beside import planes_beside
from slicefill.imputation.methods.reformatted.params import PlanePatchParams, ReformattedParams
from slicefill.types import Floats, Promise

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "moon", "page", "rocket", "text",
)  # fmt: skip
"""Of `skimage.data`, in the public domain or CC0, in every installation."""
_GREY: Floats = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue
_GAMMA, _BENT = 0.7, 0.3  # largest |log γ| of a patch's tone curve, and how many get one
_FLAT = 0.02  # standard deviation of a plane below which a patch is taken for constant
_MARGIN = 2  # pixels beside a patch, which its resampling sees


@dataclass(frozen=True)
class PatchBatch:
    """Patches of one interval.

    Attributes:
        acquired: Rows `(B, P, D, W)` of planes beside each other, noise added.
        truth: The rows between those of the middle one, `(B, D - 1, N, W)`.
        positions: N values of t.
    """

    acquired: Tensor
    truth: Tensor
    positions: list[float]


class VolumePool:
    """The volumes that an epoch draws from: they follow from its number alone.

    Args:
        cases: Promised cases; after the last, the first ones come again.
        params: Through-plane axis, window, and how many volumes are held and replaced.
    """

    def __init__(self, cases: Mapping[str, Promise], params: ReformattedParams) -> None:
        self._cases, self._params = cases, params
        self._names = sorted(cases)
        self._held: dict[str, Tensor] = {}

    def of_epoch(self, epoch: int) -> list[Tensor]:
        """Return the volumes of an epoch, slices in front, `(S, H, W)`; new ones are made."""
        sizes = self._params.patches
        first, count = epoch * sizes.fresh, min(sizes.held, len(self._names))
        names = [self._names[(first + n) % len(self._names)] for n in range(count)]
        known = self._held
        self._held = {
            name: known[name] if name in known else read_volume(self._cases[name], self._params)
            for name in names
        }
        return list(self._held.values())


def read_volume(promise: Promise, params: ReformattedParams) -> Tensor:
    """Make a case; its slices in [0, 1], mean 0 and standard deviation 1, `(S, H, W)`."""
    case = promise.make()
    axis = through_plane_axis(case.image.affine, params.through_plane)
    return _standard(stack_case(case, axis, params.window).normalised()[:, 0])


@cache
def photographs() -> tuple[Tensor, ...]:
    """Return the grey values of `PHOTOGRAPHS`, mean 0 and standard deviation 1."""
    from skimage import data

    read = (np.asarray(getattr(data, name)(), np.float32) for name in PHOTOGRAPHS)
    grey = (each @ _GREY if each.ndim == 3 else each for each in read)
    return tuple(_standard(each) for each in grey)


def draw_batch(
    volumes: Sequence[Tensor], params: ReformattedParams, rng: np.random.Generator
) -> PatchBatch:
    """Draw the patches of a step, all of one interval."""
    patches, beside = params.patches, params.network.beside
    factor = int(rng.choice(patches.factors))
    drawn = [_draw(volumes, patches, beside, factor, rng) for _ in range(patches.batch)]
    made = cut_batch(torch.stack(drawn), factor)
    stddev = torch.from_numpy(rng.choice(patches.noise, len(drawn)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(made.acquired.shape, np.float32))
    noisy = made.acquired + stddev[:, None, None, None] * noise
    return PatchBatch(noisy, made.truth, made.positions)


def cut_batch(rows: Tensor, factor: int) -> PatchBatch:
    """Keep every factor-th of known rows `(B, P, n factor + 1, W)`.

    The others of the middle plane are the truth.
    """
    count, planes, span, width = rows.shape
    own = rows[:, planes // 2, :-1]
    between = own.reshape(count, span // factor, factor, width)[:, :, 1:]
    return PatchBatch(rows[:, :, ::factor], between, [n / factor for n in range(1, factor)])


def _draw(
    volumes: Sequence[Tensor],
    params: PlanePatchParams,
    beside: int,
    factor: int,
    rng: np.random.Generator,
) -> Tensor:
    """Draw a patch, `(P, intervals factor + 1, width)`, mirrored, its tones bent at random."""
    size = params.intervals * factor + 1, params.width
    if not volumes or rng.random() < params.photographs:
        patch = _photographed(params, beside, size, rng)
        if rng.random() < params.overlaid:
            patch = patch + float(rng.random()) * _photographed(params, beside, size, rng)
    else:
        volume, axis = volumes[int(rng.integers(len(volumes)))], int(rng.integers(1, 3))
        first = int(rng.integers(volume.shape[axis] - 2 * beside))
        planes = volume.narrow(axis, first, 2 * beside + 1).movedim(axis, 0)
        patch = _shrunk(planes, size, params.shrink_volumes, rng)
    patch = patch.flip([axis for axis in (0, 1, 2) if rng.random() < 0.5])
    if rng.random() < _BENT:
        low, high = patch.aminmax()
        patch = ((patch - low) / (high - low + _FLAT)) ** float(
            np.exp(rng.uniform(-_GAMMA, _GAMMA))
        )
    return (patch - patch.mean()) / (patch.std() + _FLAT)


def _photographed(
    params: PlanePatchParams, beside: int, size: tuple[int, int], rng: np.random.Generator
) -> Tensor:
    """Draw a part of a photograph, and what planes beside it might show, `(P, *size)`."""
    known = photographs()
    picture = known[int(rng.integers(len(known)))]
    picture = picture.T if rng.random() < 0.5 else picture
    own = _shrunk(picture[None], size, params.shrink_photographs, rng)[0]
    return planes_beside(own, beside, params.motion, rng)


def _shrunk(planes: Tensor, size: tuple[int, int], most: float, rng: np.random.Generator) -> Tensor:
    """Cut the same part of planes and shrink it, each axis on its own; small ones are enlarged."""
    shrink, sizes = np.exp(rng.uniform(0, np.log(most), 2)), planes.shape[1:]
    part = [
        min(there, int(wanted * by) + _MARGIN)
        for there, wanted, by in zip(sizes, size, shrink, strict=True)
    ]
    start = [int(rng.integers(there - n + 1)) for there, n in zip(sizes, part, strict=True)]
    cut = planes[:, start[0] : start[0] + part[0], start[1] : start[1] + part[1]]
    return F.interpolate(cut[None], size, mode="bilinear", antialias=True)[0]


def _standard(values: Floats) -> Tensor:
    spread = float(values.std()) + np.finfo(np.float32).tiny
    return torch.from_numpy(np.ascontiguousarray((values - values.mean()) / spread, np.float32))

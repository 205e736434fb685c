"""Training windows: acquired slices of a volume, and a known slice in every interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slicefill.geometry import through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.view_fusion.candidates import find_flows, fixed_candidates
from slicefill.imputation.methods.view_fusion.params import FusionWindowParams, ViewFusionParams
from slicefill.simulation.procedural import NOISELESS
from slicefill.types import Case, Floats, Promise

Half = NDArray[np.float16]


@dataclass(frozen=True)
class WindowBatch:
    """Windows of as many slices and the same interval.

    Attributes:
        stack: Acquired slices in [0, 1], `(B, 1, D, h, w)`.
        fixed: Candidates of one position per interval, `(B (D - 1), 3, h, w)`.
        t: These positions, `(B (D - 1),)`.
        truth: The slices there, without noise where that is known, `(B (D - 1), 1, h, w)`.
    """

    stack: Tensor
    fixed: Tensor
    t: Tensor
    truth: Tensor


class VolumePool:
    """The volumes that an epoch draws from: they follow from its number alone.

    Args:
        cases: Promised cases; from the last on, the first ones come again.
        params: Through-plane axis, window, and how many volumes are held and replaced.
    """

    def __init__(self, cases: Mapping[str, Promise], params: ViewFusionParams) -> None:
        self._cases, self._params = cases, params
        self._names = sorted(cases)
        self._held: dict[str, Half] = {}

    def of_epoch(self, epoch: int) -> list[Half]:
        """Return the volumes of an epoch, `(S, H, W, 2)` each; new ones are made."""
        sizes = self._params.windows
        first, count = epoch * sizes.fresh, min(sizes.held, len(self._names))
        names = [self._names[(first + n) % len(self._names)] for n in range(count)]
        self._held = {name: self._held.get(name, np.empty(0, np.float16)) for name in names}
        for name, held in self._held.items():
            if not held.size:
                self._held[name] = read_volume(self._cases[name], self._params)
        return list(self._held.values())


def read_volume(promise: Promise, params: ViewFusionParams) -> Half:
    """Make a case and return its slices in [0, 1], as they are seen and as they should be made.

    Returns:
        `(S, H, W, 2)`. The second are the first without noise where the case knows it: no network
        can foresee noise, which would only hide what there is to learn.
    """
    case = promise.make()
    axis = through_plane_axis(case.image.affine, params.through_plane)
    stack = stack_case(case, axis, params.window)
    known = case.maps.get(NOISELESS, case.image)
    wanted = replace(stack, image=stack_case(Case(known), axis, params.window).image)
    seen: list[Floats] = [each.normalised()[:, 0] for each in (stack, wanted)]
    return np.stack(seen, -1).astype(np.float16)


def draw_batch(
    volumes: Sequence[Half], params: FusionWindowParams, rng: np.random.Generator
) -> WindowBatch:
    """Draw the windows of a step, all of one interval and crop."""
    factor, crop = int(rng.choice(params.factors)), int(rng.choice(params.crops))
    count = max(1, params.pixels // crop**2)
    return cut_batch([_cut(volumes, params, factor, crop, rng) for _ in range(count)], factor, rng)


def cut_batch(windows: Sequence[Floats], factor: int, rng: np.random.Generator) -> WindowBatch:
    """Remove slices from windows `((D - 1) factor + 1, h, w, 2)`; one of each interval is kept."""
    stacks, fixed, truth, places = [], [], [], []
    for window in windows:
        acquired = np.ascontiguousarray(window[::factor, ..., 0])
        removed = rng.integers(1, factor, len(acquired) - 1)
        stacks.append(acquired[None])
        places.append(removed / factor)
        truth.append(window[np.arange(len(removed)) * factor + removed, None, ..., 1])
        fixed.append(fixed_candidates(acquired, (removed / factor).tolist(), find_flows(acquired)))
    parts = (np.stack(stacks), *(np.concatenate(part) for part in (fixed, places, truth)))
    return WindowBatch(*(torch.from_numpy(np.asarray(part, np.float32)) for part in parts))


def _cut(
    volumes: Sequence[Half],
    params: FusionWindowParams,
    factor: int,
    crop: int,
    rng: np.random.Generator,
) -> Floats:
    """Cut a window from any volume, mirrored and turned at random."""
    volume = volumes[int(rng.integers(len(volumes)))]
    seen = min(params.slices, (len(volume) - 1) // factor + 1)
    sizes = (seen - 1) * factor + 1, crop, crop
    starts = [
        rng.integers(0, max(1, n - m + 1)) for n, m in zip(volume.shape[:3], sizes, strict=True)
    ]
    places = [slice(start, start + m) for start, m in zip(starts, sizes, strict=True)]
    window = volume[tuple(places)]
    missing = [(0, m - n) for n, m in zip(window.shape[:3], sizes, strict=True)]
    window = np.pad(window, [*missing, (0, 0)], mode="edge")
    for axis in range(3):
        if rng.random() < 0.5:
            window = np.flip(window, axis)
    if rng.random() < 0.5:
        window = window.swapaxes(1, 2)
    return np.ascontiguousarray(window, dtype=np.float32)

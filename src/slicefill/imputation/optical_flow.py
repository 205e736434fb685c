"""Motion between two slices without weights, and what lies between them by it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array, Floats, Stack

_SMALLEST = 32  # pixels a side: DIS has no scale at which smaller slices could be searched
Flow = Callable[[Floats, Floats], Floats]
"""From two slices in [0, 1], `(H, W)`, where the pixels of the first lie in the other, in pixels,
`(2, H, W)`, row and column."""


def dis_flow(first: Floats, last: Floats, *, finest: int | None = None) -> Floats:
    """Find motion by dense inverse search, on 256 steps of intensity (`Flow`).

    Args:
        first: In [0, 1], `(H, W)`.
        last: The same of the other slice.
        finest: Scale at which the search ends: 0, that of the slices; 1, half of it (OpenCV's
            choice, which None leaves).

    Reference:
        Kroeger et al., Fast optical flow using dense inverse search, ECCV 2016.
    """
    height, width = first.shape
    missing = (0, max(0, _SMALLEST - height)), (0, max(0, _SMALLEST - width))
    seen = [np.pad(_as_bytes(each), missing, mode="edge") for each in (first, last)]
    cv2 = _opencv()
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if finest is not None:
        search.setFinestScale(finest)
    found = search.calc(*seen, None)
    flow: Floats = np.ascontiguousarray(found[:height, :width, ::-1].transpose(2, 0, 1))
    return flow


def demons_flow(first: Floats, last: Floats, iterations: int, smoothing: float) -> Floats:
    """Find motion by demons with symmetric forces (`Flow`).

    Args:
        first: In [0, 1], `(H, W)`.
        last: The same of the other slice.
        iterations: Of the registration.
        smoothing: Sigma of the displacement after every iteration, pixels.

    Reference:
        Vercauteren et al., Diffeomorphic demons, NeuroImage 2009.
    """
    import SimpleITK

    itk: Any = SimpleITK  # its functions have no types
    demons = itk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(iterations)
    demons.SetStandardDeviations(smoothing)
    demons.SetNumberOfThreads(1)
    field = demons.Execute(*(itk.GetImageFromArray(each) for each in (first, last)))
    flow = itk.GetArrayFromImage(field)[..., ::-1].transpose(2, 0, 1)
    found: Floats = np.ascontiguousarray(flow, np.float32)
    return found


def warp_slice(slices: Floats, flow: Floats, *, lanczos: bool = False) -> Floats:
    """Sample slices where a flow points; places are rounded to 1/32 pixel.

    Args:
        slices: `(C, H, W)`.
        flow: `(2, H, W)`, row and column, pixels.
        lanczos: Keep detail, and mirror slices at the border; otherwise bilinear, and clamped.

    Returns:
        `(C, H, W)`.
    """
    cv2 = _opencv()
    rows, columns = (_grid(*flow.shape[1:]) + flow).astype(np.float32, copy=False)
    kind, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    if lanczos:
        kind, border = cv2.INTER_LANCZOS4, cv2.BORDER_REFLECT_101
    warped = [cv2.remap(each, columns, rows, kind, borderMode=border) for each in slices]
    found: Floats = np.stack(warped)
    return found


def blend_along(first: Floats, last: Floats, flows: tuple[Floats, Floats], t: float) -> Floats:
    """Make the slice at t: both neighbours `(C, H, W)` moved there and blended, eq. (1) to (3).

    Args:
        first: Any intensities.
        last: The same of the other slice.
        flows: Between both, forth and back.
        t: Position in (0, 1).
    """
    forward, backward = flows
    to_first = t * (t * backward - (1 - t) * forward)
    to_last = (1 - t) * ((1 - t) * forward - t * backward)
    from_first: Array = (1 - t) * warp_slice(first, to_first.astype(np.float32))
    return np.asarray(from_first + t * warp_slice(last, to_last.astype(np.float32)), np.float32)


def impute_along(flow: Flow, stack: Stack, positions: Sequence[float]) -> Floats:
    """Impute the image of every interval along the motion of its first channel.

    Returns:
        `(D - 1, N, C, H, W)`, intensities.
    """
    made = np.empty((len(stack.image) - 1, len(positions), *stack.image.shape[1:]), np.float32)
    if not positions:
        return made
    for interval, slices in enumerate(each_along(flow, stack, positions)):
        made[interval] = slices
    return made


def each_along(flow: Flow, stack: Stack, positions: Sequence[float]) -> Iterator[Floats]:
    """Impute one interval after the other as `impute_along` does, `(N, C, H, W)` each."""
    slices = stack.image
    for k in range(len(slices) - 1):
        first, last = replace(stack, image=slices[k : k + 2, :1]).normalised()[:, 0]
        flows = flow(first, last), flow(last, first)
        yield np.stack([blend_along(slices[k], slices[k + 1], flows, t) for t in positions])


def _as_bytes(shown: Floats) -> NDArray[np.uint8]:
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _grid(height: int, width: int) -> Floats:
    """Row and column of every pixel, `(2, H, W)`."""
    places: Floats = np.indices((height, width), np.float32)
    places.flags.writeable = False
    return places


@cache
def _opencv() -> ModuleType:
    """Import OpenCV; slices are too small for its threads."""
    import cv2

    cv2.setNumThreads(1)
    return cv2

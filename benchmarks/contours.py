"""itk-morphologicalcontourinterpolation, apart: beside PyTorch, ITK may crash at exit."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np


def is_installed() -> bool:
    """Whether there is ITK; the filter is a wheel beside it."""
    return find_spec("itk") is not None


def interpolate(label: np.ndarray, axis: int) -> np.ndarray:
    """Fill the blank slices of a label map `(I, J, K)` along an axis."""
    return _worker().submit(_interpolate, label.astype(np.uint8), axis).result()


@cache
def _worker() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))


def _interpolate(label: np.ndarray, axis: int) -> np.ndarray:
    import itk

    image = itk.image_from_array(np.ascontiguousarray(label.T))
    return itk.array_from_image(itk.morphological_contour_interpolator(image, axis=axis)).T

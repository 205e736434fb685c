"""Copies: how similar every window is to its nearest in other subjects.

S_S compares synthetic windows with other synthetic ones, S_R with real ones of training subjects
(of other subjects where there are none), R_R real ones with other real ones: the baseline.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics.realism.windows import SIZE, Windows
from slicefill.types import Array

Measure = Callable[[Array, Array], NDArray[np.float64]]
_CANDIDATES = 8
_WEIGHTS = (0.0711, 0.4530, 0.4759)  # the first three of the five of Wang et al. (2003), to sum 1
_TEMPLATE = 48
_EDGE = 5  # half of the Gaussian window of 11 × 11 pixels


@lru_cache(maxsize=12)
def nearest_similarity(windows: Windows, among: Windows) -> NDArray[np.float64]:
    """Greatest MS-SSIM of each window with one of another subject, `(n,)`, at most 1.

    Searched among the eight that correlate most; a copy always is among them. nan where there is
    no other subject.
    """
    return _best(windows, among, ms_ssim)


def nearest_correlation(windows: Windows, among: Windows) -> NDArray[np.float64]:
    """Greatest normalised cross-correlation of the middle of each window, wherever it lies, `(n,)`.

    As `nearest_similarity`, but a copy that was moved by up to 8 pixels is found, too.
    """
    return _best(windows, among, _moved_correlation)


def ms_ssim(image: Array, others: Array) -> NDArray[np.float64]:
    """Multi-scale structural similarity of a window with others, three scales (Wang et al., 2003).

    Args:
        image: 0 to 255, `(64, 64)`.
        others: `(n, 64, 64)`.

    Returns:
        `(n,)`; negative terms count as 0.
    """
    one, many = image[None].astype(np.float32) / 255, others.astype(np.float32) / 255
    result = np.ones(len(many))
    for scale, weight in enumerate(_WEIGHTS):
        structure, whole = _ssim_terms(one, many)
        term = whole if scale == len(_WEIGHTS) - 1 else structure
        result *= np.clip(term, 0, None) ** weight
        one, many = _halved(one), _halved(many)
    return result


def _ssim_terms(one: Array, many: Array) -> tuple[Array, Array]:
    """Mean contrast-structure term, and mean SSIM."""
    mean, means = _blur(one), _blur(many)
    variances = _blur(one**2) - mean**2 + _blur(many**2) - means**2
    covariance = _blur(one * many) - mean * means
    structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    luminance = (2 * mean * means + 0.01**2) / (mean**2 + means**2 + 0.01**2)
    inner = structure[:, _EDGE:-_EDGE, _EDGE:-_EDGE]
    return inner.mean(axis=(1, 2)), (structure * luminance).mean(axis=(1, 2))


def _blur(images: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    radius = (0, _EDGE, _EDGE)
    blurred: Array = gaussian_filter(images, (0, 1.5, 1.5), mode="mirror", radius=radius)
    return blurred


def _halved(images: Array) -> Array:
    n, rows, columns = images.shape
    halved: Array = images.reshape(n, rows // 2, 2, columns // 2, 2).mean(axis=(2, 4))
    return halved


def _moved_correlation(image: Array, others: Array) -> NDArray[np.float64]:
    from skimage.feature import match_template

    edge = (image.shape[0] - _TEMPLATE) // 2
    template = image[edge:-edge, edge:-edge]
    return np.array([match_template(other, template).max() for other in others])  # type: ignore[no-untyped-call]  # untyped library


def _best(windows: Windows, among: Windows, measure: Measure) -> NDArray[np.float64]:
    best = np.full(len(windows), np.nan)
    flat, pool = _standardised(windows), _standardised(among)
    for index, subject in enumerate(windows.subjects):
        others = np.flatnonzero(among.subjects != subject)
        if len(others):
            near = others[np.argsort(pool[others] @ flat[index])[-_CANDIDATES:]]
            best[index] = measure(windows.pixels[index], among.pixels[near]).max()
    return best


def _standardised(windows: Windows) -> Array:
    flat = windows.pixels.reshape(len(windows), SIZE * SIZE).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norm: Array = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.maximum(norm, 1e-6)

"""Copies: how similar every window is to its nearest in other subjects.

S_S compares synthetic windows with other synthetic ones, S_R with real ones of training subjects
(of other subjects where there are none), R_R real ones with other real ones: the baseline.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics.realism.windows import SIZE, Windows
from slicefill.types import Array

Measure = Callable[[Array, Array], NDArray[np.float64]]
_CANDIDATES = 8
_BLOCK = 64  # windows that are compared with all others at once
_WEIGHTS = (0.0711, 0.4530, 0.4759)  # the first three of the five of Wang et al. (2003), to sum 1
_MARGIN = 8  # pixels left out around the middle of a window
_EDGE = 5  # half of the Gaussian window of 11 × 11 pixels


@lru_cache(maxsize=4)  # of one plane; it holds on to the windows
def nearest_similarity(windows: Windows, among: Windows) -> NDArray[np.float64]:
    """Greatest MS-SSIM of each window with one of another subject, `(n,)`, at most 1.

    Searched among the eight that correlate most at half the resolution; a copy always is among
    them. nan where there is no other subject.
    """
    return _best(windows, among, ms_ssim, _products(windows, among))


def nearest_correlation(windows: Windows, among: Windows) -> NDArray[np.float64]:
    """Greatest normalised cross-correlation of the middle of each window, wherever it lies, `(n,)`.

    As `nearest_similarity`, but a copy that was moved by up to 8 pixels is found, too.
    """
    return _best(windows, among, _moved_correlation, _moved_products(windows, among))


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
    pixels = images.reshape(n, rows // 2, 2, columns // 2, 2)
    halved: Array = pixels.mean(axis=(2, 4), dtype=np.float32)
    return halved


def _moved_correlation(image: Array, others: Array) -> NDArray[np.float64]:
    from skimage.feature import match_template

    template = _middle(image)
    return np.array([match_template(other, template).max() for other in others])  # type: ignore[no-untyped-call]  # untyped library


def _best(
    windows: Windows, among: Windows, measure: Measure, products: Iterable[Array]
) -> NDArray[np.float64]:
    best = np.full(len(windows), np.nan)
    for index, (subject, product) in enumerate(zip(windows.subjects, products, strict=True)):
        others = np.flatnonzero(among.subjects != subject)
        if len(others):
            most = min(_CANDIDATES, len(others))
            near = others[np.argpartition(product[others], -most)[-most:]]
            best[index] = measure(windows.pixels[index], among.pixels[near]).max()
    return best


def _products(windows: Windows, among: Windows) -> Iterator[Array]:
    """Yield the correlations of each window with all others at half the resolution, `(n,)`."""
    pool = _standardised(_halved(among.pixels)).reshape(len(among), (SIZE // 2) ** 2)
    images = _standardised(_halved(windows.pixels)).reshape(len(windows), (SIZE // 2) ** 2)
    for first in range(0, len(images), _BLOCK):
        yield from images[first : first + _BLOCK] @ pool.T


def _moved_products(windows: Windows, among: Windows) -> Iterator[Array]:
    """Yield the greatest products of the middle of each window with all others, `(n,)`.

    Wherever it lies in them: by FFT, which does not wrap, as the middle never leaves a window.
    """
    from scipy.fft import irfft2, rfft2

    spectra, motions = rfft2(_standardised(among.pixels)), np.arange(-_MARGIN, _MARGIN + 1)
    for image in windows.pixels:
        middle = np.zeros((SIZE, SIZE), np.float32)
        template = _middle(image.astype(np.float32))
        _middle(middle)[:] = template - template.mean()
        found = irfft2(spectra * np.conj(rfft2(middle)), (SIZE, SIZE))
        yield found[:, motions[:, None], motions].max(axis=(1, 2))


def _middle(image: Array) -> Array:
    return image[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _standardised(pixels: Array) -> Array:
    """Images of mean 0 and norm 1, same shape, float32."""
    images = pixels.astype(np.float32)
    images -= images.mean(axis=(1, 2), keepdims=True)
    norm: Array = np.linalg.norm(images, axis=(1, 2), keepdims=True)
    return images / np.maximum(norm, 1e-6)

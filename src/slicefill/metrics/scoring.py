"""Score one imputed case against the real one: synthetic slices only, unless a name says so."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from slicefill.geometry import slices_first, spacing_slices_first
from slicefill.metrics.image import (
    alternation,
    bias,
    gradient_ratio,
    mae,
    masked_mean,
    psnr,
    ssim_map,
)
from slicefill.metrics.overlap import dice, surface_distances, volume_difference
from slicefill.params import EvaluationParams
from slicefill.types import Array, Case

Indices = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Scored:
    """Which slices of an imputed case show the same place as which slices of the truth.

    Attributes:
        axis: Through-plane array axis of both.
        imputed_index: Synthetic slices of the imputed case, `(n,)`.
        truth_index: The slices of the truth at the same places, `(n,)`.
        acquired_imputed: Acquired slices of the imputed case, `(m,)`.
        acquired_truth: The slices of the truth at the same places, `(m,)`.
        names: Label names by id; 0, the background, is not scored.
    """

    axis: int
    imputed_index: Indices
    truth_index: Indices
    acquired_imputed: Indices
    acquired_truth: Indices
    names: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class _Covered:
    """The slices that both cases hold, in order.

    Attributes:
        imputed: Their indices in the imputed case, `(D,)`.
        truth: Their indices in the truth, evenly spaced.
        synthetic: Which are synthetic, bool, `(D,)`.
        step: Slices of the truth from one to the next.
    """

    imputed: Indices
    truth: Indices
    synthetic: NDArray[np.bool_]
    step: int


def score_imputed_case(
    imputed: Case, truth: Case, scored: Scored, params: EvaluationParams
) -> dict[str, float]:
    """Score the synthetic slices of one case.

    Channels are scored each on its own scale, then averaged. The data range is the 99.9th
    percentile of the whole real volume minus its minimum; the body is what exceeds the minimum
    by `params.body_quantile` of that range, holes filled in each slice.

    Args:
        imputed: The imputed case.
        truth: The real one, with the same in-plane grid.
        scored: Which slices correspond.
        params: How to score.

    Returns:
        `psnr_body`, `psnr_field` (dB), `ssim_body`, `ssim_field`, `mae_body`, `mae_field`,
        `bias_body` (intensity), `gradient_ratio`, `alternation` (both in the body, over all
        slices that both hold); `psnr_all_slices`, `ssim_all_slices` (field, copied slices
        counted: for comparison with papers only); `slices`, how many were scored.
        Where both have labels, per label name and as a mean over the labels: `dice_<name>`,
        `volume_bias_<name>` (signed fraction), `assd_<name>` (mm, in 3D over all slices that
        both hold); and `volume_bias_abs_mean`.

    Raises:
        ValueError: If the truth is constant, the in-plane grids differ, or the slices that
            correspond are unevenly spaced.
    """
    covered = _cover(scored)
    images = [slices_first(case.image.intensities(), scored.axis) for case in (imputed, truth)]
    if images[0].shape[1:] != images[1].shape[1:]:
        msg = (
            f"imputed slices are {images[0].shape[1:]}, real ones {images[1].shape[1:]}: "
            "score an imputed case against the case that it was subsampled from"
        )
        raise ValueError(msg)
    # one channel axis last, whether or not the file has one
    prediction, reference = (image.reshape(*image.shape[:3], -1) for image in images)
    channels = [
        _image_scores(prediction[covered.imputed, ..., c], reference[..., c], covered, params)
        for c in range(reference.shape[-1])
    ]
    scores = {key: float(np.mean([channel[key] for channel in channels])) for key in channels[0]}
    if imputed.label is not None and truth.label is not None:
        found, real = (slices_first(x.stored, scored.axis) for x in (imputed.label, truth.label))
        pitch = spacing_slices_first(truth.image.spacing, scored.axis)
        spacing = pitch * [covered.step, 1, 1]
        pair = found[covered.imputed], real[covered.truth]
        names = {i: name for i, name in scored.names.items() if i}
        scores |= _label_scores(*pair, covered.synthetic, spacing, names)
    return scores | {"slices": float(len(scored.truth_index))}


def _cover(scored: Scored) -> _Covered:
    truth = np.concatenate([scored.truth_index, scored.acquired_truth])
    order = np.argsort(truth)
    steps = np.unique(np.diff(truth[order]))
    if len(steps) != 1 or steps[0] < 1:
        msg = (
            "the slices of the truth that are compared must be evenly spaced and named once, "
            f"got steps of {steps.tolist()}: score every synthetic slice that has a real one"
        )
        raise ValueError(msg)
    return _Covered(
        imputed=np.concatenate([scored.imputed_index, scored.acquired_imputed])[order],
        truth=truth[order],
        synthetic=order < len(scored.truth_index),
        step=int(steps[0]),
    )


def _image_scores(
    prediction: Array, volume: Array, covered: _Covered, params: EvaluationParams
) -> dict[str, float]:
    """Score one channel: covered slices `(D, H, W)` against the whole real volume."""
    data_range = _scale(volume)[1]
    truth = volume[covered.truth]
    body = body_mask(volume, covered.truth, params.body_quantile)
    everywhere = np.ones_like(body)
    synthetic = everywhere & covered.synthetic[:, None, None]
    similarity = ssim_map(prediction, truth, data_range)
    scores = {
        "bias_body": bias(prediction, truth, body & synthetic),
        "gradient_ratio": gradient_ratio(prediction, truth, body),
        "alternation": alternation(prediction, covered.synthetic, body),
        "psnr_all_slices": psnr(prediction, truth, everywhere, data_range),
        "ssim_all_slices": masked_mean(similarity, everywhere),
    }
    for region, mask in (("body", body & synthetic), ("field", synthetic)):
        scores[f"psnr_{region}"] = psnr(prediction, truth, mask, data_range)
        scores[f"ssim_{region}"] = masked_mean(similarity, mask)
        scores[f"mae_{region}"] = mae(prediction, truth, mask)
    return scores


def body_mask(volume: Array, chosen: Indices, quantile: float) -> Array:
    """Where some slices of a real volume show the body, bool, `(n, H, W)`.

    Args:
        volume: All of its slices, `(D, H, W)`: their scale decides.
        chosen: Indices of slices, `(n,)`.
        quantile: As `body_quantile` of `EvaluationParams`.
    """
    low, data_range = _scale(volume)
    above = volume[chosen] > low + quantile * data_range
    return np.stack([binary_fill_holes(one) for one in above])


def _scale(volume: Array) -> tuple[float, float]:
    """Minimum and data range of a volume."""
    low = float(volume.min())
    data_range = float(np.percentile(volume, 99.9)) - low
    if data_range <= 0:
        msg = f"the truth is {low:g} almost everywhere: it has no scale to score against"
        raise ValueError(msg)
    return low, data_range


def _label_scores(
    prediction: Array,
    reference: Array,
    synthetic: NDArray[np.bool_],
    spacing: Array,
    names: Mapping[int, str],
) -> dict[str, float]:
    """Score label ids, `(D, H, W)`: overlap on synthetic slices, surfaces over all slices."""
    scores: dict[str, float] = {}
    for identity, name in names.items():
        found, real = prediction == identity, reference == identity
        scores[f"dice_{name}"] = dice(found[synthetic], real[synthetic])
        scores[f"volume_bias_{name}"] = volume_difference(found[synthetic], real[synthetic])
        scores[f"assd_{name}"] = surface_distances(found, real, spacing).assd
    for measure in ("dice", "volume_bias", "assd"):
        scores[f"{measure}_mean"] = _mean([scores[f"{measure}_{name}"] for name in names.values()])
    biases = [abs(scores[f"volume_bias_{name}"]) for name in names.values()]
    return scores | {"volume_bias_abs_mean": _mean(biases)}


def _mean(values: list[float]) -> float:
    """Mean of what could be measured; nan if nothing could."""
    measured = [value for value in values if not np.isnan(value)]
    return float(np.mean(measured)) if measured else float("nan")

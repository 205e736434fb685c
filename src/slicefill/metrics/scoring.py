"""Scores of one imputed case against the truth, on the slices that both show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first, spacing_slices_first
from slicefill.imputation.padding import find_padding, is_padding
from slicefill.metrics import list_metrics
from slicefill.metrics.image import ImagePair
from slicefill.metrics.overlap import MaskPair
from slicefill.params import ORACLE, ScoreParams
from slicefill.types import Array, Case

Indices = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Slices that an imputed case and the truth both hold, in order.

    Attributes:
        axis: Through-plane array axis of both.
        imputed: Their indices in the imputed case, `(D,)`.
        truth: Their indices in the truth, `(D,)`, evenly spaced.
        synthetic: Which of them are synthetic, bool, `(D,)`.

    Raises:
        ValueError: If the slices of the truth are unevenly spaced.
    """

    axis: int
    imputed: Indices
    truth: Indices
    synthetic: NDArray[np.bool_]

    def __post_init__(self) -> None:
        steps = np.unique(np.diff(self.truth))
        if len(steps) != 1 or steps[0] < 1:
            msg = (
                "the slices of the truth that are compared must be evenly spaced and named once, "
                f"got steps of {steps.tolist()}: score every synthetic slice that has a real one"
            )
            raise ValueError(msg)

    @property
    def step(self) -> int:
        """Slices of the truth from one to the next."""
        return int(self.truth[1] - self.truth[0])


def score_imputed_case(
    imputed: Case, truth: Case, slices: Correspondence, params: ScoreParams
) -> dict[str, float]:
    """Score the synthetic slices of one case.

    Args:
        imputed: The imputed case.
        truth: The real one, with the same in-plane grid.
        slices: Which slices correspond.
        params: Label names, and what is body.

    Returns:
        The metrics of images, `<metric>_<region>` (`ImagePair` says where that is); where both
        cases have labels, those of labels, `<metric>_<label>` and `<metric>_mean` over the labels:
        Dice and volumes of synthetic slices, surfaces in 3D over all slices that both cases hold;
        and `slices`, how many synthetic slices were scored.

    Raises:
        ValueError: If the truth is constant or the in-plane grids differ.
    """
    return {
        **score_images(pair_channels(imputed, truth, slices, params)),
        **score_labels(pair_labels(imputed, truth, slices, params.label_names)),
        "slices": float(slices.synthetic.sum()),
    }


def pair_channels(
    imputed: Case, truth: Case, slices: Correspondence, params: ScoreParams
) -> list[ImagePair]:
    """Pair the corresponding slices of both cases, channel by channel.

    The data range is the 99.9th percentile of the whole real volume minus its minimum; the body
    is what exceeds the minimum by `params.body_quantile` of that range, holes filled in each
    slice. Padding below zero (`imputation.padding`) counts in neither: where the truth holds it,
    nothing is scored, and both cases show the minimum of the rest.

    Raises:
        ValueError: If the truth is constant or the in-plane grids differ.
    """
    images = [slices_first(case.image.intensities(), slices.axis) for case in (imputed, truth)]
    if images[0].shape[1:] != images[1].shape[1:]:
        msg = (
            f"imputed slices are {images[0].shape[1:]}, real ones {images[1].shape[1:]}: "
            "score an imputed case against the case that it was subsampled from"
        )
        raise ValueError(msg)
    # one channel axis last, whether or not the file has one
    prediction, reference = (image.reshape(*image.shape[:3], -1) for image in images)
    return [
        _pair_channel(prediction[slices.imputed, ..., c], reference[..., c], slices, params)
        for c in range(reference.shape[-1])
    ]


def _pair_channel(
    prediction: Array, volume: Array, slices: Correspondence, params: ScoreParams
) -> ImagePair:
    """Pair slices `(D, H, W)` with those of the whole real volume."""
    shown, outside = _without_padding(volume)
    low, data_range = _scale(shown)
    truth, unseen = shown[slices.truth], outside[slices.truth]
    body = _body(truth, unseen, low + params.body_quantile * data_range)
    prediction = np.where(unseen, truth, prediction)
    field = ~unseen & slices.synthetic[:, None, None]
    masks = {"body": body & field, "field": field, "all_slices": ~unseen, "": body}
    return ImagePair(prediction, truth, slices.synthetic, low, data_range, masks)


def pair_labels(
    imputed: Case, truth: Case, slices: Correspondence, names: Mapping[int, str]
) -> dict[str, MaskPair]:
    """Pair the masks of every label, by name; none where one of the cases has no labels.

    Args:
        imputed: The imputed case.
        truth: The real one.
        slices: Which slices correspond.
        names: Label names by id; 0, the background, is left out.
    """
    if imputed.label is None or truth.label is None:
        return {}
    found, real = (slices_first(x.stored, slices.axis) for x in (imputed.label, truth.label))
    found, real = found[slices.imputed], real[slices.truth]
    spacing = spacing_slices_first(truth.image.spacing, slices.axis) * [slices.step, 1, 1]
    return {
        name: MaskPair(found == identity, real == identity, spacing, slices.synthetic)
        for identity, name in names.items()
        if identity
    }


def score_images(channels: Sequence[ImagePair]) -> dict[str, float]:
    """Measure every channel on its own scale and average over the channels."""
    return {
        metric.column(region): float(
            np.mean([metric.compute(pair, pair.masks[region]) for pair in channels])
        )
        for metric in list_metrics("images", "case")
        for region in metric.regions
    }


def score_labels(labels: Mapping[str, MaskPair]) -> dict[str, float]:
    """Measure every label, and average over those that have a value."""
    scores: dict[str, float] = {}
    for metric in list_metrics("labels", "case") if labels else ():
        own = {name: metric.compute(pair) for name, pair in labels.items()}
        if "each" in metric.regions:
            scores |= {metric.column(name): value for name, value in own.items()}
        if "mean" in metric.regions:
            scores[metric.column("mean")] = _mean(list(own.values()))
    return scores


def body_mask(volume: Array, chosen: Indices, quantile: float) -> NDArray[np.bool_]:
    """Where some slices of a real volume show the body, bool, `(n, H, W)`; padding is no body.

    Args:
        volume: All of its slices, `(D, H, W)`: their scale decides.
        chosen: Indices of slices, `(n,)`.
        quantile: As `body_quantile` of `ScoreParams`.
    """
    shown, outside = _without_padding(volume)
    low, data_range = _scale(shown)
    return _body(shown[chosen], outside[chosen], low + quantile * data_range)


def _body(slices: Array, outside: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """Where slices exceed `least`, with holes filled, save `outside` what was scanned."""
    from scipy.ndimage import binary_fill_holes

    filled: NDArray[np.bool_] = np.stack([binary_fill_holes(one) for one in slices > least])
    return filled & ~outside


def _without_padding(volume: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Replace padding of `(D, H, W)` by the minimum of the rest; and say where it is.

    A background of zero around a body stays: the body is told from it.
    """
    values = [value for value in find_padding(volume) if value < 0]
    outside = np.asarray(is_padding(volume, values), bool)
    shown = np.where(outside, volume[~outside].min(), volume) if values else volume
    return shown, outside


def _scale(volume: Array) -> tuple[float, float]:
    """Minimum and data range of a volume."""
    low = float(volume.min())
    data_range = float(np.percentile(volume, 99.9)) - low
    if data_range <= 0:
        msg = f"the truth is {low:g} almost everywhere: it has no scale to score against"
        raise ValueError(msg)
    return low, data_range


def _mean(values: list[float]) -> float:
    """Mean of what could be measured; nan if nothing could."""
    measured = [value for value in values if not np.isnan(value)]
    return float(np.mean(measured)) if measured else float("nan")


def corresponding_slices(record: Mapping[str, Any]) -> Correspondence | None:
    """Match the slices of an imputed case to those of the volume it was subsampled from.

    Slices after the last acquired one lie in no interval and are left out.

    Args:
        record: Of the imputed case: its `axis`, `count` and the `source` it was imputed from,
            which says by which `factor` it was subsampled.

    Returns:
        The matching slices, or None where no slice was removed, so that nothing is known, and of
        the oracle, which has no synthetic slice, and of an exact grid, whose slices lie anywhere.
    """
    source, step = record["source"], (record["count"] or 0) + 1
    factor = source.get("factor", 1)
    if factor == 1 or step == 1 or record.get("method") == ORACLE:
        return None
    imputed = np.arange((len(source["kept"]) - 1) * step + 1)
    on_grid = imputed[imputed * factor % step == 0]
    synthetic = on_grid % step > 0
    if not synthetic.any():
        return None
    return Correspondence(record["axis"], on_grid, on_grid * factor // step, synthetic)

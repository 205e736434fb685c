"""Scores of one imputed case against the truth, on the slices that both show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first, spacing_slices_first
from slicefill.metrics import Compared, list_metrics
from slicefill.metrics.image import ImagePair
from slicefill.metrics.overlap import MaskPair
from slicefill.metrics.real_channels import Indices, RealChannel, real_channels
from slicefill.params import ORACLE, ScoreParams
from slicefill.types import Array, Case


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
    real = real_channels(truth, slices.axis, params.body_quantile)
    return {
        **score_images(pair_channels(imputed, real, slices)),
        **score_labels(pair_labels(imputed, truth, slices, params.label_names)),
        "slices": float(slices.synthetic.sum()),
    }


def pair_channels(
    imputed: Case, real: Sequence[RealChannel], slices: Correspondence
) -> list[ImagePair]:
    """Pair the corresponding slices of both cases, channel by channel.

    Where the truth holds padding, nothing is scored, and both cases show the minimum of the rest. A
    slice that the truth lacked is not scored either; both show what it was filled with.

    Raises:
        ValueError: If the in-plane grids differ.
    """
    image = slices_first(imputed.image.intensities(), slices.axis)
    prediction = np.moveaxis(image.reshape(*image.shape[:3], -1), -1, 0)
    found, expected = ((len(x), *x[0].shape[1:]) for x in (prediction, [r.shown for r in real]))
    if found != expected:
        msg = (
            f"imputed slices are {found} (channels, rows, columns), real ones {expected}: "
            "score an imputed case against the case that it was subsampled from"
        )
        raise ValueError(msg)
    pairs = zip(prediction, real, strict=True)
    return [_pair_channel(made[slices.imputed], own, slices) for made, own in pairs]


def _pair_channel(prediction: Array, real: RealChannel, slices: Correspondence) -> ImagePair:
    """Pair slices `(D, H, W)` with those of the whole real volume."""
    truth, unseen, body = (x[slices.truth] for x in (real.shown, real.outside, real.body))
    prediction = np.where(unseen, truth, prediction)
    field = ~unseen & slices.synthetic[:, None, None]
    masks = {"body": body & field, "field": field, "all_slices": ~unseen, "": body}
    return ImagePair(prediction, truth, slices.synthetic, real.low, real.data_range, masks)


def pair_labels(
    imputed: Case, truth: Case, slices: Correspondence, names: Mapping[int, str]
) -> dict[str, MaskPair]:
    """Pair the masks of every label, by name; none where one of the cases has no labels.

    A slice that the truth lacked is the same in both.

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
    if slices.axis == Case.ACROSS and truth.absent:
        guessed = np.isin(slices.truth, truth.absent)
        found = np.where(guessed[:, None, None], real, found)
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
            np.mean([metric.measure(pair, pair.masks[region]) for pair in channels])
        )
        for metric in list_metrics("images", "case")
        for region in metric.regions
    }


def score_labels(labels: Mapping[str, MaskPair], of: Compared = "labels") -> dict[str, float]:
    """Measure every label by the metrics of this, and average over those that have a value."""
    scores: dict[str, float] = {}
    for metric in list_metrics(of, "case") if labels else ():
        own = {name: metric.measure(pair) for name, pair in labels.items()}
        if "each" in metric.regions:
            scores |= {metric.column(name): value for name, value in own.items()}
        if "mean" in metric.regions:
            scores[metric.column("mean")] = _mean(list(own.values()))
    return scores


def _mean(values: list[float]) -> float:
    """Mean of what could be measured; nan if nothing could."""
    measured = [value for value in values if not np.isnan(value)]
    return float(np.mean(measured)) if measured else float("nan")


def corresponding_slices(record: Mapping[str, Any]) -> Correspondence | None:
    """Match the slices of an imputed case to those of the volume it was subsampled from.

    Slices after the last acquired one lie in no interval and are left out. Those that the series
    lacked, whose truth was `guessed`, do not count as synthetic.

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
    truth = on_grid * factor // step
    synthetic = (on_grid % step > 0) & ~np.isin(truth, source.get("guessed", ()))
    if not synthetic.any():
        return None
    return Correspondence(record["axis"], on_grid, truth, synthetic)

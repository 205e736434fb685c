"""Evaluation of one case under all methods that imputed it, from one reading of every volume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.execution.serial import Failure, attempt
from slicefill.geometry import through_plane_axis
from slicefill.metrics import REAL
from slicefill.metrics.confidence import (
    confidence_errors,
    confidence_scores,
    slice_confidence,
)
from slicefill.metrics.real_channels import real_channels
from slicefill.metrics.risk import risk_curves
from slicefill.metrics.scoring import (
    Correspondence,
    corresponding_slices,
    pair_channels,
    pair_labels,
    score_images,
    score_labels,
)
from slicefill.metrics.sets import describe_case
from slicefill.params import AxisName, EvaluationParams
from slicefill.types import Case, Promise

if TYPE_CHECKING:
    import pandas as pd

Draw = Callable[[str, Mapping[str, Case], Callable[[], Case], EvaluationParams], dict[str, bytes]]
"""Draws a case as PNG: its name, what methods made of it, a reader of the truth, parameters."""


@dataclass(frozen=True, eq=False)
class ImputedCase:
    """A case as several methods imputed it.

    Attributes:
        imputed: By method.
        truth: What it was subsampled from; None where that is not there.
        scored: Whether it is compared with the truth.
        drawn: Whether there are figures of it.
        learned_from: Of a case of training, imputed or not: the world axis, `S`, `A` or `L`,
            across imputed slices, so that metrics per set know its real ones.
    """

    imputed: Mapping[str, Promise]
    truth: Promise | None
    scored: bool
    drawn: bool
    learned_from: AxisName | None = None


def _no_table() -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame()


@dataclass(frozen=True, eq=False)
class MethodResult:
    """What one method made of one case.

    Attributes:
        slices: As `slice_confidence`.
        scores: By column; None where they are not known.
        described: What the metrics per set need of it.
        curves: As `risk_curves`; empty where errors are not known.
        reason: Why it could not be scored; empty where it could, or was not to be.
    """

    slices: "pd.DataFrame"
    scores: dict[str, float] | None = None
    described: dict[str, list[Any]] = field(default_factory=dict)
    curves: "pd.DataFrame" = field(default_factory=_no_table)
    reason: str = ""


@dataclass(frozen=True, eq=False)
class CaseResult:
    """What all methods made of one case, and its figures; failures in their place.

    Attributes:
        methods: By method; `real` of a case of training.
        figures: By name, as PNG.
        record: Plain values; the fingerprint of what it was found from, once it is on disk.
    """

    methods: dict[str, MethodResult | Failure]
    figures: dict[str, bytes] | Failure
    record: Mapping[str, Any] = field(default_factory=dict)


def evaluate_case(name: str, case: ImputedCase, params: EvaluationParams, draw: Draw) -> CaseResult:
    """Score and draw a case; no volume is read twice, and none where a record is enough.

    Args:
        name: Of the case.
        case: As the methods imputed it. A method that fails does not stop the others.
        params: Label names, what is body, which methods are drawn.
        draw: Makes the figures.
    """
    truth = _Truth(case.truth, params) if case.truth else None
    methods: dict[str, MethodResult | Failure] = {}
    drawn: dict[str, Callable[[], Case]] = {}
    for method, promise in case.imputed.items():
        read = cache(promise.make)
        scored = case.scored
        methods[method] = attempt(partial(_evaluate, promise, read, truth, scored, params))
        if case.drawn and method in (*params.figure_methods, params.label_baseline):
            drawn[method] = read  # holds what it has read
    if case.learned_from and truth:
        methods[REAL] = attempt(partial(_know, truth, case.learned_from, params))
    figures: dict[str, bytes] | Failure = {}
    if drawn and truth:
        figures = attempt(partial(_draw, name, drawn, truth.read, params, draw))
    return CaseResult(methods, figures)


class _Truth:
    """The real case, read once, and its channels, prepared once for all methods."""

    def __init__(self, promise: Promise, params: EvaluationParams) -> None:
        self.read = cache(promise.make)
        self.channels = cache(lambda axis: real_channels(self.read(), axis, params.body_quantile))


def _evaluate(
    promise: Promise,
    read: Callable[[], Case],
    truth: _Truth | None,
    scored: bool,
    params: EvaluationParams,
) -> MethodResult:
    record = promise.record() if promise.record else read().record
    slices = corresponding_slices(record) if scored else None
    if slices is None:
        return MethodResult(slice_confidence(record, None))
    if truth is None:
        reason = "the case that it was subsampled from is not there; run ingestion again"
        return MethodResult(slice_confidence(record, None), reason=reason)
    return _compare(read(), truth, slices, params)


def _know(truth: _Truth, across: AxisName, params: EvaluationParams) -> MethodResult:
    """Keep what metrics per set need of a case of training: it is described as its own imputation.

    All of its slices count, since a method may have seen each of them; those that it lacked show no
    body (`real_channels`).
    """
    case = truth.read()
    axis = through_plane_axis(case.image.affine, across)
    every = np.arange(case.image.stored.shape[axis])
    slices = Correspondence(axis, every, every, np.ones(len(every), bool))
    channels = pair_channels(case, truth.channels(axis), slices)
    labels = pair_labels(case, case, slices, params.label_names)
    return MethodResult(_no_table(), described=describe_case(channels, labels, params.metrics))


def _compare(
    imputed: Case, real: _Truth, slices: Correspondence, params: EvaluationParams
) -> MethodResult:
    truth, channels = real.read(), pair_channels(imputed, real.channels(slices.axis), slices)
    body = np.any([pair.masks[""][slices.synthetic] for pair in channels], axis=0)  # of any channel
    known = confidence_errors(imputed, truth, slices, body)
    labels = pair_labels(imputed, truth, slices, params.label_names)
    scores = {
        **score_images(channels),
        **score_labels(labels),
        "slices": float(slices.synthetic.sum()),
        **confidence_scores(known),
    }
    return MethodResult(
        slices=slice_confidence(imputed.record, known),
        scores=scores,
        described=describe_case(channels, labels, params.metrics),
        curves=risk_curves(known.confidence, known.error),
    )


def _draw(
    name: str,
    drawn: Mapping[str, Callable[[], Case]],
    truth: Callable[[], Case],
    params: EvaluationParams,
    draw: Draw,
) -> dict[str, bytes]:
    order = dict.fromkeys((*params.figure_methods, params.label_baseline))
    imputed = {method: drawn[method]() for method in order if method in drawn}
    return draw(name, imputed, truth, params)

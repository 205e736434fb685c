"""Synthetic labels of one case, and damaged true ones beside them, against the truth."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np

from slicefill.geometry import slices_back, slices_first, spacing_slices_first
from slicefill.metrics.label_bias import audit_labels
from slicefill.metrics.scoring import Correspondence, corresponding_slices, pair_labels
from slicefill.params.label_audit import LabelAuditParams
from slicefill.simulation.label_noise import DAMAGES, EXCHANGE, fit_shape
from slicefill.types import Array, Case, Promise, read_record

Row = dict[str, Any]


def audit_case(
    imputed: Mapping[str, Promise],
    truth: Promise,
    others: Mapping[float, Promise],
    params: LabelAuditParams,
    name: str,
) -> list[Row]:
    """Audit the labels of the removed slices of a case.

    Args:
        imputed: By method.
        truth: What it was subsampled from.
        others: By strength of `permute`: the case whose label this one gets.
        params: Label names, and which damage is done to the true labels, how strongly.
        name: Of the case; it seeds what is drawn.

    Returns:
        A row per method or damage, strength and label: `source` (method or damage), `name`,
        `strength` (nan of a method), `label` and `metrics.label_bias.BIASES`. None where no slice
        was removed or the truth has no labels.
    """
    read = cache(truth.make)
    rows, known = [], None
    for method, promise in imputed.items():
        slices = corresponding_slices(read_record(promise))
        if slices is None or read().label is None:
            continue
        known = known or slices
        pairs = pair_labels(promise.make(), read(), slices, params.label_names)
        rows += [_named("method", method, float("nan"), row) for row in audit_labels(pairs)]
    return [*rows, *_audit_damages(read(), known, others, params, name)] if known else rows


def _audit_damages(
    truth: Case,
    slices: Correspondence,
    others: Mapping[float, Promise],
    params: LabelAuditParams,
    name: str,
) -> Iterator[Row]:
    """Damage the true labels, and compare them on the slices of the imputed case."""
    at_truth = Correspondence(slices.axis, slices.truth, slices.truth, slices.synthetic)
    for kind, strengths in params.damages.items():
        for strength in strengths:
            rng = np.random.default_rng([params.seed, crc32(f"{name} {kind}".encode())])
            damaged = _damage(truth, slices.axis, kind, strength, others.get(strength), rng)
            pairs = pair_labels(damaged, truth, at_truth, params.label_names)
            for row in audit_labels(pairs):
                yield _named("damage", kind, strength, row)


def _damage(
    truth: Case,
    axis: int,
    kind: str,
    strength: float,
    other: Promise | None,
    rng: np.random.Generator,
) -> Case:
    """Damage the labels of a case; a shift and a crop lie in the plane of the slices."""
    if truth.label is None:
        return truth
    label = truth.label
    damaged: Array = label.stored
    if kind != EXCHANGE:
        spacing = spacing_slices_first(label.spacing, axis)
        changed = DAMAGES[kind](slices_first(label.stored, axis), spacing, strength, rng)
        damaged = slices_back(changed, axis)
    elif other is not None and (theirs := other.make().label) is not None:
        damaged = fit_shape(theirs.stored, label.stored.shape)
    return Case(truth.image, label.with_stored(damaged.astype(label.stored.dtype)))


def _named(source: str, name: str, strength: float, row: Row) -> Row:
    return {"source": source, "name": name, "strength": strength, **row}

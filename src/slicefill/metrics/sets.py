"""Metrics per set: what is kept of every case, and what all of it together says."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from slicefill.metrics import Control, DescribedSet, Metric, list_set_metrics
from slicefill.metrics.image import ImagePair
from slicefill.metrics.overlap import MaskPair

BySubject = Mapping[str, Sequence[Mapping[str, list[Any]]]]
"""What `describe_case` kept of cases, by subject."""


def describe_case(
    channels: Sequence[ImagePair], labels: Mapping[str, MaskPair], requested: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """Keep what the metrics per set need of a case: an item per channel, or one of its labels.

    Args:
        channels: Of the case.
        labels: By name; empty where it has none.
        requested: As `evaluation.metrics`.

    Returns:
        By description, `<module>.<function>_<region>`: metrics that share one share what it keeps.
    """
    known = {
        description(metric, region): (metric, region)
        for metric in list_set_metrics(requested)
        for region in metric.regions
    }
    return {
        name: _describe(metric, region, channels, labels)
        for name, (metric, region) in known.items()
    }


def score_set(
    cases: BySubject, training: BySubject, requested: Sequence[str] = (), *, control: bool = False
) -> dict[str, float]:
    """Measure a set of cases by the metrics per set.

    Args:
        cases: What `describe_case` kept of each case that is scored, by subject.
        training: Of the others.
        requested: As `evaluation.metrics`.
        control: Measure real slices in the place of synthetic ones, by the metrics that have a
            control.

    Returns:
        A value per column.
    """

    @cache  # metrics that share a description share the set, and what they found out about it
    def described(name: str, swap: Control | None) -> DescribedSet:
        gathered = DescribedSet(gather_described(name, cases), gather_described(name, training))
        return swap(gathered) if swap else gathered

    return {
        metric.column(region): _score(
            metric, described(description(metric, region), metric.control if control else None)
        )
        for metric in list_set_metrics(requested)
        for region in metric.regions
        if metric.control or not control
    }


def gather_described(name: str, cases: BySubject) -> dict[str, list[Any]]:
    """Gather what one description kept of cases, by subject."""
    return {
        whose: [one for case in own for one in case.get(name, [])] for whose, own in cases.items()
    }


def _describe(
    metric: Metric, region: str, channels: Sequence[ImagePair], labels: Mapping[str, MaskPair]
) -> list[Any]:
    if metric.describe is None:
        return []
    if "labels" in metric.of:
        return [metric.describe(labels)] if labels else []
    return [metric.describe(pair, pair.masks[region]) for pair in channels]


def _score(metric: Metric, described: DescribedSet) -> float:
    if metric.by_subject:
        return metric.measure(described)
    return metric.measure([one for own in described.cases.values() for one in own])


def description(metric: Metric, region: str) -> str:
    """Name what a metric per set keeps of a case: by the function that does so."""
    function: Any = metric.describe
    name = f"{function.__module__}.{function.__qualname__}"
    return f"{name}_{region}" if region else name

"""Propagation of the labels of a case: annotated slices stay as they are, to the bit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from slicefill import __version__
from slicefill.geometry import slices_back, slices_first, world_axis
from slicefill.imputation.dense_grid import stack_case, to_dtype
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.voxels import check_varies
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.annotated import annotated_axis, annotated_slices
from slicefill.propagation.choice import Choice, choose_weights
from slicefill.propagation.deciding import decide, expected_dice, sureness
from slicefill.propagation.evidence import AnnotatedScan, Interval, gather
from slicefill.propagation.motion import choose_motion
from slicefill.types import CONFIDENCE_STEPS, Array, Case, Floats

_DIGITS = 4


def propagate_case(
    case: Case,
    params: PropagationParams,
    *,
    annotated: Sequence[int] | None = None,
    every: int | None = None,
) -> Case:
    """Fill the labels of the slices between annotated ones.

    Outlines are interpolated by signed distance, in place and moved along the motion between the
    real slices; patches of the image that look alike vote; areas run between those annotated.
    Which counts how much is chosen on the scan, by predicting annotated slices from each other;
    of several channels, motion is found on the one that carries annotated labels best.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, complete; label on its grid, annotated on some
            slices.
        params: How.
        annotated: Indices of the annotated slices, counted from 0.
        every: Slices 0, n, 2n, … are annotated. Without both, those are that show a label.

    Returns:
        The image untouched; the label map, in its dtype, annotated slices and those beyond the
        first and the last of them bit-identical; maps `synthetic_mask` (1 = propagated) and
        `confidence` (probability that a label is right, in [0, 1]; annotated slices 1, slices
        beyond them 0: nothing is known of these). The record says of every slice whether it is
        `annotated`, lies `between` two with its `confidence`, the Dice expected of it, or `beyond`
        all; `annotate_next`, the slices worth annotating next: the outermost one beyond an
        annotated slice that shows a label, then the least confident; and `motion_channel`.

    Raises:
        BadCase: If there is no label map, its annotated slices are not as they must be, or the
            image is constant.
    """
    if case.label is None:
        raise BadCase(
            expected="a label map",
            found="none",
            remedy="in a folder of label maps give it the name of the scan; in Python: label=",
        )
    if case.absent:
        raise BadCase(
            expected="a complete scan",
            found=f"{len(case.absent)} absent slices",
            remedy="impute them first: --fill-missing, fill_missing=True",
        )
    check_varies(case.image)
    axis = annotated_axis(case.label, params.through_plane, annotated, every)
    stack = stack_case(case, axis, params.window)
    label = slices_first(case.label.stored, axis)
    known = annotated_slices(label, annotated, every)
    seen = np.ascontiguousarray(stack.normalised())
    channel, motion = choose_motion(seen, label, known, params)
    scan = AnnotatedScan(seen, label, tuple(known), motion)
    choice = choose_weights(scan, params)
    filled, confidence = label.copy(), np.zeros(label.shape, np.float32)
    confidence[known] = 1  # of what lies beyond, nothing is known
    expected = {}
    apart = float(np.mean(stack.apart or 1))
    for index, ids, sure, dice in _propagated(scan, choice, apart, params):
        filled[index], confidence[index], expected[index] = ids, sure, dice
    slices = _slices(len(filled), known, expected)
    wanted = annotate_next(slices, params.suggestions, _open_ends(label, known))
    record = _record(axis, slices, choice, params) | {
        "across": world_axis(case.label.affine, axis),
        "motion_channel": channel,
        "annotate_next": wanted,
        "source": dict(case.record),
    }
    done = case.label.with_stored(slices_back(filled, axis))
    maps = _maps(case, slices, confidence, axis)
    return replace(case, label=done, maps=maps, record=record)


def untouched(before: Case, after: Case) -> bool:
    """Whether the slices that were not propagated are those of the label map given, to the bit."""
    if before.label is None or after.label is None:
        return False
    axis, slices = after.record["axis"], after.record["slices"]
    kept = [one["index"] for one in slices if "between" not in one]
    volumes = before.label, after.label
    given, found = (slices_first(each.stored, axis)[kept] for each in volumes)
    return given.dtype == found.dtype and given.tobytes() == found.tobytes()


def _propagated(
    scan: AnnotatedScan, choice: Choice, apart: float, params: PropagationParams
) -> Iterator[tuple[int, Array, Floats, float]]:
    """Yield index, labels, confidence and expected Dice of every slice between annotated ones."""
    for interval in map(Interval, scan.annotated, scan.annotated[1:]):
        between = list(range(interval.before + 1, interval.after))
        found = gather(scan, interval, between, params) if between else {}
        for index in between:
            ids = np.zeros(scan.label.shape[1:], scan.label.dtype)
            sure, dice = np.ones(ids.shape, np.float32), 1.0
            if index in found:
                box, made = found[index].box, decide(found[index], choice.weights)
                wander = params.wander * interval.wander(index) * apart**0.5
                ids[box], sure[box] = made.label, sureness(made, wander)
                dice = expected_dice(made, sure[box])
            yield index, ids, sure, dice


def _slices(depth: int, known: Sequence[int], expected: dict[int, float]) -> list[dict[str, Any]]:
    """Say of every slice where its labels come from."""
    slices: list[dict[str, Any]] = [{"index": n, "beyond": True} for n in range(depth)]
    for index in known:
        slices[index] = {"index": index, "annotated": True}
    for before, after in pairwise(known):
        for index in range(before + 1, after):
            place = {"between": [before, after], "t": Interval(before, after).position(index)}
            dice = round(expected[index], _DIGITS)
            slices[index] = {"index": index, **place, "confidence": dice}
    return slices


def annotate_next(
    slices: Sequence[dict[str, Any]], count: int, ends: Sequence[int] = ()
) -> list[int]:
    """Slices worth annotating next: the least confident one of every interval, worst first.

    Args:
        slices: Of a record.
        count: At most so many.
        ends: Slices beyond all annotated ones that may show a label; they come first.
    """
    worst: dict[tuple[int, int], dict[str, Any]] = {}
    for one in slices:
        if "between" in one:
            key = tuple(one["between"])
            if key not in worst or one["confidence"] < worst[key]["confidence"]:
                worst[key] = one
    unsure = [one for one in worst.values() if one["confidence"] < 1]
    ranked = sorted(unsure, key=lambda one: one["confidence"])
    return [*ends, *(one["index"] for one in ranked)][:count]


def _open_ends(label: Array, known: Sequence[int]) -> list[int]:
    """List the outermost slices that lie beyond an annotated one that shows a label."""
    ends = zip((0, len(label) - 1), (known[0], known[-1]), strict=True)
    return [outer for outer, last in ends if outer != last and label[last].any()]


def _maps(
    case: Case, slices: Sequence[dict[str, Any]], confidence: Floats, axis: int
) -> dict[str, Any]:
    """Map where labels were propagated, and how sure they are."""
    made = np.zeros(confidence.shape, np.uint8)
    made[[one["index"] for one in slices if "between" in one]] = 1
    stored = to_dtype(confidence * CONFIDENCE_STEPS, np.dtype(np.uint16))
    overlays = {"synthetic_mask": (made, 1.0), "confidence": (stored, 1 / CONFIDENCE_STEPS)}
    return {
        name: case.image.with_stored(slices_back(array, axis), None, (slope, 0.0))
        for name, (array, slope) in overlays.items()
    }


def _record(
    axis: int, slices: list[dict[str, Any]], choice: Choice, params: PropagationParams
) -> dict[str, Any]:
    """Say how labels were propagated."""
    return {
        "axis": axis,
        "annotated": [one["index"] for one in slices if "annotated" in one],
        "slices": slices,
        "choice": choice.record(),
        "confidence": "expected_dice",
        "parameters": params.model_dump(),
        "versions": {"slicefill": __version__, "numpy": np.__version__},
    }

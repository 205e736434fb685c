"""What the annotated slices of a scan decide: the channel of motion, the weights, their Dice."""

import numpy as np
import pytest

from slicefill.imputation.areas import LabelAreas
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.evidence import AnnotatedScan, Interval, gather
from slicefill.propagation.motion import ChainedMotion
from slicefill.propagation.propagate import propagate_case
from slicefill.types import Case

PARAMS = PropagationParams()


def showing_only(case, indices):
    """The same scan, labelled on some of its slices."""
    kept = np.zeros_like(case.label.stored)
    kept[..., indices] = case.label.stored[..., indices]
    return Case(case.image, case.label.with_stored(kept))


def of_channels(case, *channels):
    return Case(case.image.with_stored(np.stack(channels, -1)), case.label)


def test_motion_is_found_on_the_channel_that_shows_it(ball):
    given = ball(every=8)
    seen = given.image.stored
    noise = np.random.default_rng(1).normal(500, 100, seen.shape).astype(seen.dtype)
    first = propagate_case(of_channels(given, seen, noise), PARAMS)
    last = propagate_case(of_channels(given, noise, seen), PARAMS)
    np.testing.assert_array_equal(last.label.stored, first.label.stored)
    assert first.record["motion_channel"] == 0
    assert last.record["motion_channel"] == 1


def test_a_channel_that_shows_it_no_better_is_not_taken(ball):
    given = ball(every=8)
    seen = given.image.stored
    made = propagate_case(of_channels(given, seen, seen, -seen), PARAMS)
    assert made.record["motion_channel"] == 0
    assert propagate_case(given, PARAMS).record["motion_channel"] == 0


@pytest.mark.parametrize(
    ("shown", "held_out", "dice"),
    [
        ([8], [8], 0.0),  # between two blank slices: nothing says that it is there
        ([0], [8], None),  # truly blank
    ],
)
def test_held_out_slices_without_a_label_around_them_are_predicted_blank(
    ball, shown, held_out, dice
):
    made = propagate_case(showing_only(ball(), shown), PARAMS, annotated=[0, 8, 16])
    assert made.record["choice"]["held_out"] == held_out
    assert made.record["choice"]["held_out_dice"] == dice


def test_a_slice_that_is_missed_lowers_the_dice_of_the_others(ball):
    named = list(range(0, 17, 2))
    whole = propagate_case(showing_only(ball(), [0, 2, 4, 6, 8]), PARAMS, annotated=named)
    gone = propagate_case(showing_only(ball(), [0, 2, 4, 6, 8, 14]), PARAMS, annotated=named)
    assert whole.record["choice"]["held_out"] == gone.record["choice"]["held_out"] == named[1:-1]
    assert gone.record["choice"]["held_out_dice"] < whole.record["choice"]["held_out_dice"] - 0.05


def test_areas_are_counted_once(ball, monkeypatch):
    count, counted = LabelAreas.count, []
    monkeypatch.setattr(
        LabelAreas, "count", lambda label: counted.append(len(label)) or count(label)
    )
    made = propagate_case(ball(every=2), PARAMS)
    assert len(made.record["choice"]["held_out"]) == 7
    assert counted == [9]


def test_areas_of_an_interval_are_those_by_all_slices_but_those_held_out():
    """Six labels, slices unevenly annotated; the box holds every pixel."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 7, (19, 12, 12))
    label[7:, 4] = 0
    known = (0, 2, 3, 7, 9, 15, 18)
    image = rng.random((19, 1, 12, 12), np.float32)
    scan = AnnotatedScan(image, label, known, ChainedMotion(image[:, 0]))
    for before, after in ((0, 2), (3, 7), (2, 7), (7, 15), (15, 18)):
        rest = [index for index in known if not before < index < after]
        at = Interval(before, after)
        expected = LabelAreas.count(label[rest]).interpolate(
            [at.position(before + 1)], PARAMS.label_ends, rest
        )
        found = gather(scan, at, [before + 1], PARAMS)[before + 1]
        row = rest.index(before)
        assert found.areas == tuple(expected[each][row, 0] for each in found.ids)

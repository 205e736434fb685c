"""Areas of labels on synthetic slices: hand-computed runs and ends, and what must add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slicefill.imputation.areas import LabelAreas, interpolate_areas, raise_to_area
from slicefill.params import EndParams

QUARTERS = np.array([0.25, 0.5, 0.75])
ENDS = EndParams(cut_off=0.8, latest=0.6)


def run(*areas, t=QUARTERS):
    return interpolate_areas(np.array(areas, float), t, ENDS)


def test_between_two_slices_the_area_is_linear():
    assert run(100, 200).tolist() == [[125, 150, 175]]


def test_the_area_of_a_ball_is_exact_where_four_slices_show_it():
    """Its sections R² - z² are a parabola, which the cubic through four slices reproduces."""
    z = np.arange(-3, 4)
    found = run(*(25 - z**2))
    expected = 25 - np.add.outer(z[:-1], QUARTERS) ** 2
    np.testing.assert_allclose(found[1:-1], expected[1:-1], rtol=1e-12)


def test_the_area_of_a_ball_is_exact_between_slices_at_uneven_steps():
    """Twice as wide, half as wide: the slopes at the slices are those of the parabola."""
    z = np.array([-4, -3, -1, 0, 4])
    found = interpolate_areas(25.0 - z**2, QUARTERS, ENDS, z)
    expected = 25 - (z[:-1, None] + np.outer(np.diff(z), QUARTERS)) ** 2
    np.testing.assert_allclose(found[1:-1], expected[1:-1], rtol=1e-12)


def test_far_blank_slices_do_not_swell_what_lies_between_near_ones():
    """100 pixels on slices 8 and 10, none on 0 and 40; evenly, slice 9 would get 125."""
    found = interpolate_areas(np.array([0.0, 100, 100, 0]), np.array([0.5]), ENDS, [0, 8, 10, 40])
    assert 100 <= found[1].item() < 101


def test_an_end_goes_on_losing_area_per_slice():
    """From 12 to 6 in one slice, then blank two slices on: 6 pixels last one slice, half-way."""
    ends = EndParams(cut_off=0.8, latest=0.9)
    found = interpolate_areas(np.array([12.0, 6, 0]), QUARTERS, ends, [0, 1, 3])
    np.testing.assert_allclose(found[1], [3, 0, 0], atol=1e-9)


def test_no_area_is_negative():
    assert (run(1000, 1, 1, 1000) >= 0).all()  # the cubic is: 1 - 2 · 999 / 16


@pytest.mark.parametrize(
    ("before", "last", "expected"),
    [
        (300, 200, [350 / 3, 100 / 3, 0]),  # would go on for 200 / 100: ends at the latest
        (600, 200, [100, 0, 0]),  # loses 400 an interval: 100 a quarter
        (900, 100, [0, 0, 0]),  # over after an eighth
        (220, 200, [100, 0, 0]),  # cut off, not tapered: half-way
        (100, 200, [100, 0, 0]),  # grew before it was cut off
        (0, 200, [100, 0, 0]),  # on one slice alone: nothing is known
    ],
)
def test_an_end_goes_on_losing_area_as_before(before, last, expected):
    np.testing.assert_allclose(run(before, last, 0)[1], expected)
    np.testing.assert_allclose(run(0, last, before)[0], expected[::-1])


def test_an_end_without_a_slice_before_is_half_way():
    assert run(200, 0).tolist() == [[100, 0, 0]]


LABELS = st.integers(2, 5).flatmap(
    lambda depth: arrays(np.uint16, (depth, 3, 4), elements=st.sampled_from([0, 1, 2, 700]))
)


@given(label=LABELS)
@settings(deadline=None)
def test_no_area_for_ids_that_neither_neighbour_shows(label):
    areas = LabelAreas.count(label).interpolate(QUARTERS, ENDS)
    assert set(areas) == set(np.unique(label))
    for identity, area in areas.items():
        shown = (label == identity).any((1, 2))
        assert area.shape == (len(label) - 1, 3)
        assert not area[~(shown[:-1] | shown[1:])].any()
        assert ((area >= 0) & (area <= 12)).all()


@given(label=LABELS)
@settings(deadline=None)
def test_reversing_the_stack_reverses_the_areas(label):
    there = LabelAreas.count(label).interpolate([0.25, 0.7], ENDS)
    back = LabelAreas.count(label[::-1]).interpolate([0.75, 0.3], ENDS)
    for identity, area in there.items():
        assert abs(area - back[identity][::-1]).max() <= 1  # halves are rounded to even


def test_where_one_label_takes_the_place_of_another_nothing_is_lost():
    label = np.zeros((2, 8, 8), int)
    label[0, 2:6, 2:6], label[1, 2:6, 2:6] = 1, 2
    areas = LabelAreas.count(label).interpolate(QUARTERS, ENDS)
    assert areas[0].tolist() == [[48, 48, 48]]
    assert (areas[1] + areas[2]).tolist() == [[16, 16, 16]]
    assert areas[1][0, 1] == areas[2][0, 1] == 8
    assert areas[1][0, 0] > areas[2][0, 0]


def test_a_slice_full_of_labels_leaves_no_background():
    label = np.array([[[1, 1, 2]], [[1, 2, 2]], [[0, 0, 0]]])
    areas = LabelAreas.count(label).interpolate([0.5], ENDS)
    assert areas[0][0] == 0


def test_no_label_grows_beyond_the_slice():
    """Where labels fill the slice, a cubic may rise above its pixels, as the correction may."""
    shown = [[345, 0, 4079, 0], [3751, 4092, 17, 53], [0, 4, 0, 4043]]
    label = np.stack([np.repeat((1, 2, 3), areas) for areas in np.transpose(shown)])
    areas = LabelAreas.count(label[:, None]).interpolate([0.25, 0.5, 0.75], ENDS)
    assert max(area.max() for area in areas.values()) == 4096


@given(
    scores=arrays(np.float32, (3, 4), elements=st.integers(-50, 50), unique=True),
    area=st.integers(0, 12),
)
def test_scores_of_as_many_pixels_as_asked_for_are_raised(scores, area):
    raised = raise_to_area(scores, area)
    assert (raised >= 0).sum() == area
    if area:
        np.testing.assert_allclose(raised - raised.max(), scores - scores.max(), atol=1e-4)

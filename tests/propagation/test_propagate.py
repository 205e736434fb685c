import json
from dataclasses import replace

import numpy as np
import pytest

from slicefill import api
from slicefill.geometry import slices_first
from slicefill.imputation.methods.classical import impute_classically
from slicefill.ingestion.checks import BadCase
from slicefill.metrics.overlap import mean_dice
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.annotated import annotated_axis
from slicefill.propagation.deciding import Decision, Weights, decide, expected_dice, sureness
from slicefill.propagation.evidence import Evidence, Interval
from slicefill.propagation.motion import ChainedMotion
from slicefill.propagation.propagate import annotate_next, propagate_case, untouched
from slicefill.types import Case, Stack

PARAMS = PropagationParams()


@pytest.fixture(scope="module")
def filled(ball):
    return propagate_case(ball(every=8), PARAMS)


def test_labels_follow_what_moves_where_outlines_alone_do_not(ball, filled):
    """The disc is annotated at column 20, 44 and 20: interpolated outlines lag behind the sine."""
    truth = np.moveaxis(ball().label.stored, 2, 0)
    between = [index for index in range(17) if index % 8]
    stack = Stack(np.zeros((3, 1, 64, 64), np.float32), np.array([[0.0, 1]]), truth[::8])
    plain = impute_classically("shape_matched", stack, [n / 8 for n in range(1, 8)]).label
    by_outlines = mean_dice(plain.reshape(14, 64, 64), truth[between], [3])
    found = mean_dice(np.moveaxis(filled.label.stored, 2, 0)[between], truth[between], [3])
    assert by_outlines < 0.85
    assert found > 0.9


def test_annotated_slices_and_the_image_stay_to_the_bit(ball, filled):
    given = ball(every=8)
    assert filled.label.stored.dtype == np.int16
    np.testing.assert_array_equal(filled.label.stored[..., ::8], given.label.stored[..., ::8])
    assert filled.image is not None
    np.testing.assert_array_equal(filled.image.stored, given.image.stored)
    assert untouched(given, filled)
    filled.label.stored[0, 0, 8] += 1
    assert not untouched(given, filled)
    filled.label.stored[0, 0, 8] -= 1


def test_the_record_says_where_every_slice_comes_from(filled):
    record = filled.record
    assert record["annotated"] == [0, 8, 16]
    assert record["slices"][8] == {"index": 8, "annotated": True}
    assert record["slices"][3]["between"] == [0, 8]
    assert record["slices"][3]["t"] == 3 / 8
    believed = [one["confidence"] for one in record["slices"] if "between" in one]
    assert len(believed) == 14
    assert all(0.5 < one < 1 for one in believed)
    worst = min((one for one in record["slices"] if "t" in one), key=lambda one: one["confidence"])
    assert record["annotate_next"][0] == worst["index"]
    assert len({index // 8 for index in record["annotate_next"]}) == 2


def test_maps_mark_what_was_propagated_and_trust_what_was_annotated(filled):
    mask, sure = (filled.maps[name] for name in ("synthetic_mask", "confidence"))
    assert mask.stored.any(axis=(0, 1)).tolist() == [bool(index % 8) for index in range(17)]
    assert (sure.intensities()[..., ::8] == 1).all()
    assert 0.5 <= sure.intensities()[..., 1:8].min() < 0.9


@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_is_the_one_along_which_slices_are_blank(ball, filled, axis):
    turned = propagate_case(ball(every=8, axis=axis), PARAMS)
    assert turned.record["axis"] == axis
    np.testing.assert_array_equal(
        slices_first(turned.label.stored, axis), slices_first(filled.label.stored, 2)
    )


def test_slices_beyond_the_annotated_ones_stay_blank(ball):
    given = ball(every=8)
    given.label.stored[..., 0] = 0
    made = propagate_case(given, PARAMS)
    assert made.record["slices"][3] == {"index": 3, "beyond": True}
    assert not made.label.stored[..., :8].any()
    assert made.label.stored[..., 9:16].any(axis=(0, 1)).all()


def test_an_annotated_blank_slice_says_where_a_label_ends(ball):
    given = ball(every=8)
    given.label.stored[..., 0] = 0
    for told in ({"annotated": [0, 8, 16]}, {"every": 8}):
        made = propagate_case(given, PARAMS, **told)
        shown = made.label.stored.any(axis=(0, 1))
        assert made.record["annotated"] == [0, 8, 16]
        assert not shown[:2].any()  # no label goes beyond 0.65 of an interval
        assert shown[5:].all()


def test_several_labels_and_channels(ball):
    whole = ball()
    stored = whole.label.stored.copy()
    stored[:32] = np.where(stored[:32] == 3, 7, 0)
    kept = np.zeros_like(stored)
    kept[..., ::4] = stored[..., ::4]
    image = whole.image.with_stored(np.stack([whole.image.stored, -whole.image.stored], -1))
    given = type(whole)(image, whole.label.with_stored(kept))
    made = propagate_case(given, PARAMS)
    between = [index for index in range(17) if index % 4]
    assert set(np.unique(made.label.stored)) == {0, 3, 7}
    assert mean_dice(made.label.stored[..., between], stored[..., between], [3, 7]) > 0.9


def test_a_series_that_lacks_slices_is_to_be_imputed_first(ball):
    lacking = replace(ball(every=8), record={"absent_slices": [3, 4]})
    with pytest.raises(BadCase, match=r"a complete scan, found 2 absent slices.*--fill-missing"):
        propagate_case(lacking, PARAMS)


@pytest.mark.parametrize("named", ["0,8", [0, "no"], [True, False, True], 3.5])
def test_indices_that_are_none_are_named(ball, named):
    with pytest.raises(TypeError, match=r"annotated: expected indices of slices, as \[0, 8\]"):
        propagate_case(ball(every=8), PARAMS, annotated=named)


@pytest.mark.parametrize(
    ("blank", "told", "message"),
    [
        (
            range(17),
            {},
            "expected two annotated slices or more, found none: the label map is blank",
        ),
        (range(1, 17), {}, "found one, slice 0"),
        (range(0), {"every": 20}, "found one, slice 0, of every 20; name a smaller distance"),
        (range(17), {"every": 4}, "found a blank label map"),
        (range(0), {"every": 4}, "labels on 2 others"),
        (range(0), {"annotated": [0, 8, 17]}, "expected annotated slices from 0 to 16, found 17"),
        (range(0), {"annotated": [3]}, "expected two annotated slices or more, found one, slice 3"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_what_to_do(ball, blank, told, message):
    given = ball(every=1 if told == {"every": 1} else 8)
    given.label.stored[..., list(blank)] = 0
    if told == {"every": 4} and not len(blank):
        given.label.stored[32, 20, [1, 2]] = 3
    with pytest.raises(BadCase, match=message):
        propagate_case(given, PARAMS, **told)


def test_a_label_on_every_slice_leaves_nothing_to_fill(ball):
    with pytest.raises(BadCase, match="found every slice from 0 to 16 annotated; nothing is to be"):
        propagate_case(ball(), PARAMS)
    with pytest.raises(BadCase, match="expected a label map, found none"):
        propagate_case(type(ball())(ball().image), PARAMS)


def test_chained_motion_finds_the_place_of_what_moved(ball):
    """From the middle slice to the first, the disc has moved by 24 columns over eight steps."""
    image = np.moveaxis(ball().image.stored, 2, 0) / 900
    found = ChainedMotion(image.astype(np.float32)).towards(0, 8)
    assert list(found) == list(range(1, 9))
    disc = np.hypot(*(np.indices((64, 64)) - np.array([32, 44])[:, None, None])) < 5
    assert found[8][1][disc].mean() == pytest.approx(-24, abs=1.5)
    assert found[8][0][disc].mean() == pytest.approx(0, abs=0.5)


def test_scores_decide_and_lead():
    """Half of 1 and 3 pixels of distance, and two units of log-odds at 0.5: 2 + 1 against 2.5."""
    field = np.zeros((2, 1, 2), np.float32)
    field[:, 0, 0] = 2.5, 1
    moved = field.copy()
    moved[1, 0, 0] = 3
    votes = np.zeros_like(field)
    votes[1, 0, 0] = 2
    one = Evidence((0, 4), (slice(0, 1), slice(0, 2)), field, moved, moved, votes, (1, 1), (1, 1))
    made = decide(one, Weights(followed=0.5, likeness=0.5, matched=0.0))
    assert made.label.tolist() == [[4, 0]]
    assert made.rival.tolist() == [[0, 4]]
    np.testing.assert_allclose(made.lead, [[0.5, 0]])
    ended = Evidence((0, 4), one.box, field, moved, moved, votes, (2, 0), (1, 0.25))
    blank = decide(ended, Weights(0.5, 0.5, 0.0))
    assert blank.label.tolist() == [[0, 0]]
    np.testing.assert_allclose(blank.lead, [[-6, 0]])  # 3 pixels inside of its outline, 0 of it
    behind = 1 / (1 + np.exp(6))  # outlines wander by one
    np.testing.assert_allclose(sureness(blank, 1.0), [[1 - 0.25 * (1 - behind), 1 - 0.25 / 2]])


def test_expected_dice_is_that_of_sure_and_unsure_pixels():
    def expect(label, rival, sure):
        one = np.ones(len(label))
        made = Decision(np.array(label), np.array(rival), one, one, one)
        return expected_dice(made, np.array(sure))

    assert expect([0, 0], [1, 1], [1, 1.0]) == 1
    assert expect([0, 0], [1, 1], [0.75, 1.0]) == 0.75  # of nothing, if it is blank
    assert expect([0, 2], [2, 0], [1, 0.5]) == pytest.approx(1 / 1.5)
    assert expect([0, 2], [2, 0], [0.5, 1]) == pytest.approx(2 / 2.5)
    assert expect([1, 2], [2, 1], [1, 0.5]) == pytest.approx(2 * 1.5 / 4)  # 2 may be 1, a label


def test_where_a_label_ends_nothing_is_sure(ball):
    """Shown at 0, gone at 8: it may end anywhere between; from 8 to 16 nothing is known of it."""
    given = ball(every=8)
    first = given.label.stored.copy()
    first[:, :, 1:] = 0
    made = propagate_case(replace(given, label=given.label.with_stored(first)), PARAMS, every=8)
    found = {one["index"]: one.get("confidence") for one in made.record["slices"]}
    shown = made.label.stored.any(axis=(0, 1))
    blank = [index for index in range(1, 8) if not shown[index]]
    assert blank
    for index in blank:  # no less sure than that it has ended by then
        assert found[index] == pytest.approx(index / 8, abs=0.03)
    assert all(found[index] < 1 - index / 8 for index in range(1, 8) if shown[index])
    assert all(found[index] == 1 for index in range(9, 16))
    confidence = made.maps["confidence"].intensities()
    inside = given.label.stored[:, :, 0] != 0
    assert blank[-1] / 8 <= confidence[..., blank[-1]][inside].min() < 0.97
    assert blank[0] - 1 in made.record["annotate_next"] or blank[0] in made.record["annotate_next"]


def test_slices_without_background_have_finite_confidence(ball):
    """Two labels fill every slice; one ends before the next annotated one."""
    given = ball(every=8)
    full = np.full_like(given.label.stored, 2)
    full[given.label.stored != 0] = 3
    full[:, :, 8:] = 2
    full[:, :, [index for index in range(17) if index % 8]] = 0
    made = propagate_case(replace(given, label=given.label.with_stored(full)), PARAMS, every=8)
    assert set(np.unique(made.label.stored)) == {2, 3}
    confidence = made.maps["confidence"].intensities()
    assert np.isfinite(confidence).all()
    assert confidence[..., 9:16].min() == 1
    assert confidence[..., 1:8].min() < 0.7


def thicker(case, times):
    """The same voxels, slices farther apart."""
    affine = case.image.affine @ np.diag([1, 1, times, 1])
    image, label = (each.with_stored(each.stored, affine) for each in (case.image, case.label))
    return replace(case, image=image, label=label)


def test_outlines_stray_most_in_the_middle_and_more_between_thick_slices(ball):
    """A Brownian bridge: half of the square root of the slices between, in the middle."""
    assert Interval(3, 7).wander(5) == pytest.approx(1)
    assert Interval(3, 7).wander(4) == Interval(3, 7).wander(6) < 1
    sure = [
        propagate_case(given, PARAMS).maps["confidence"].stored
        for given in (ball(every=8), thicker(ball(every=8), 4))
    ]
    assert (sure[1] <= sure[0]).all()
    assert (sure[1] < sure[0]).any()


def test_the_least_confident_slice_of_every_interval_is_worth_annotating():
    slices = [{"index": 0, "annotated": True}]
    for index, sure in ((1, 0.9), (2, 0.7), (3, 0.8), (5, 0.6), (9, 1.0)):
        slices.append({"index": index, "between": [index // 4, 0], "confidence": sure})
    assert annotate_next(slices, 5) == [5, 2]
    assert annotate_next(slices, 1) == [5]


def test_in_python_arrays_and_files_give_the_same(ball, filled, tmp_path):
    given = ball(every=8)
    pair = [np.asarray(each.stored) for each in (given.image, given.label)]
    made = api.propagate(pair[0], pair[1], voxel_spacing=(1, 1, 1))
    np.testing.assert_array_equal(made, filled.label.stored)
    assert made.record["annotate_next"] == filled.record["annotate_next"]
    np.testing.assert_array_equal(made.mask, filled.maps["synthetic_mask"].stored)
    files = [tmp_path / name for name in ("scan.nii.gz", "some.nii.gz")]
    for volume, path in zip((given.image, given.label), files, strict=True):
        api.write(volume, path)
    np.testing.assert_array_equal(np.asarray(api.propagate(*files).dataobj), made)
    with pytest.raises(ValueError, match="annotated, every: expected one of them"):
        api.propagate(given, annotated=[0, 8], every=8)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("every", "objects"), [(2, (3, 34)), (8, (3, 34)), (4, (20,))])
def test_annotated_slices_are_found_beside_a_gap_between_two_objects(volume, axis, every, objects):
    """Two small objects far apart leave more blank columns than annotation leaves blank slices."""
    stored = np.zeros((40, 40, 40), np.uint8)
    for start in objects:
        stored[start : start + 3, 10:13, 4:29:every] = 1
    turned = np.moveaxis(stored, 2, axis)
    assert annotated_axis(volume(np.ascontiguousarray(turned), np.eye(4)), "auto") == axis


def two_cylinders(volume, spacing=(1, 1, 1), annotated=(2, 3, 4, 5, 10, 11, 12, 13)):
    """An organ on the left and one on the right, annotated on runs of axial slices."""
    rows, columns = np.indices((40, 20))
    both = np.minimum(*(np.hypot(rows - centre, columns - 10) for centre in (6, 33))) < 5
    image = np.repeat(both[..., None], 20, axis=2) * 100 + np.arange(20, dtype=np.int16)
    label = np.zeros((40, 20, 20), np.uint8)
    label[..., list(annotated)] = both[..., None]
    affine = np.diag([*spacing, 1.0])
    return Case(volume(image.astype(np.int16), affine), volume(label, affine))


def test_a_gap_between_left_and_right_is_not_taken_for_slices_without_annotation(volume):
    thick = two_cylinders(volume, (1, 1, 3))
    made = propagate_case(thick, PARAMS)
    assert (made.record["axis"], made.record["across"]) == (2, "S")
    assert untouched(thick, made)
    alike = two_cylinders(volume)
    with pytest.raises(BadCase, match="found slices along L and S that may be those; name the ax"):
        propagate_case(alike, PARAMS)
    named = propagate_case(alike, PARAMS, annotated=[2, 3, 4, 5, 10, 11, 12, 13])
    assert named.record["axis"] == 2
    assert not named.label.stored[12:28].any()


def test_named_slices_say_along_which_axis_they_lie(volume):
    """Thick sagittal slices, but every fifth axial one is annotated, with one beside it."""
    case = two_cylinders(volume, (3, 1, 1), annotated=(0, 5, 10, 15))
    assert annotated_axis(case.label, "auto", every=5) == 2
    assert annotated_axis(case.label, "auto") == 2  # they lie alone
    paired = two_cylinders(volume, (3, 1, 1), annotated=(0, 1, 8, 9))
    assert annotated_axis(paired.label, "auto", [0, 1, 8, 9]) == 2
    assert annotated_axis(paired.label, "L", [0, 1, 8, 9]) == 0


def test_of_slices_beyond_the_annotated_ones_nothing_is_known(volume):
    made = propagate_case(two_cylinders(volume, (1, 1, 3)), PARAMS)
    sure = made.maps["confidence"].intensities()
    assert (sure[..., [0, 1, *range(14, 20)]] == 0).all()
    assert (sure[..., [2, 13]] == 1).all()
    assert made.record["annotate_next"][:2] == [0, 19]
    ended = propagate_case(two_cylinders(volume, (1, 1, 3)), PARAMS, annotated=[0, *range(2, 20)])
    assert ended.record["annotated"][0] == 0
    assert not {0, 19} & set(ended.record["annotate_next"])


def test_named_slices_are_plain_integers_and_none_is_told(ball):
    given = ball(every=8)
    record = propagate_case(given, PARAMS, annotated=np.array([0, 8, 16])).record
    assert json.loads(json.dumps(record))["annotated"] == [0, 8, 16]
    with pytest.raises(BadCase, match="by their indices, found an empty list; name two or more"):
        api.propagate(given, annotated=[])

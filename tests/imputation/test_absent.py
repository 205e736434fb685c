"""A series that lacks slices: what is imputed where, and what stays."""

from dataclasses import replace

import numpy as np
import pytest

from slicefill.imputation.absent import longest_stack
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.imputation.verification import verify_imputed_case
from slicefill.ingestion.checks import BadCase
from slicefill.metrics.scoring import corresponding_slices, score_imputed_case
from slicefill.params.base import ScoreParams
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.types import Case

ABSENT = (2, 5, 6)


@pytest.fixture
def lacking(case):
    """Nine slices 4 mm apart whose numbers are 100 times their index; three are absent."""
    made = case(shape=(12, 10, 9))
    ramp = np.broadcast_to(100 * np.arange(9), (12, 10, 9)).astype(np.int16).copy()
    ramp[0] += 7  # a constant image has no window
    ramp[..., list(ABSENT)] = -9999
    label = made.label.stored.copy()
    label[..., list(ABSENT)] = 99  # neither is looked at
    volumes = made.image.with_stored(ramp), made.label.with_stored(label)
    return Case(*volumes, record={"absent_slices": list(ABSENT)})


def impute(case, imputation_params, **changes):
    params = imputation_params(**{"target_spacing": None, **changes})
    return impute_case(case, classical_imputer("linear", params), params)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_absent_slices_are_imputed_at_their_true_positions(lacking, imputation_params, count):
    """A ramp, interpolated linearly by position, is the ramp."""
    made = impute(lacking, imputation_params, count=count)
    step = count + 1
    assert made.image.stored.shape == (12, 10, 8 * step + 1)
    truth = np.rint(100 * np.arange(8 * step + 1) / step)
    np.testing.assert_allclose(made.image.stored[3, 4], truth, atol=1)
    kept = [k for k in range(9) if k not in ABSENT]
    places = [k * step for k in kept]
    for name in ("image", "label"):
        before, after = (getattr(each, name).stored for each in (lacking, made))
        np.testing.assert_array_equal(after[..., places], before[..., kept])
    assert 99 not in made.label.stored
    mask = made.maps["synthetic_mask"].stored.any(axis=(0, 1))
    assert np.flatnonzero(~mask).tolist() == places
    np.testing.assert_allclose(made.image.spacing[2], 4 / step, rtol=1e-6)
    assert verify_imputed_case(made, lacking) == []


def test_a_wide_gap_takes_no_more_room_than_gaps_of_one(case, imputation_params, room):
    """As many slices are made; none of the other intervals has any."""
    made = case(shape=(24, 20, 60))
    wide, single = (
        replace(made, record={"absent_slices": [*absent]})
        for absent in (range(24, 36), range(2, 50, 4))
    )
    rooms = [
        room(lambda each=each: impute(each, imputation_params, count=0)) for each in (wide, single)
    ]
    assert rooms[0] < 2.5 * rooms[1]


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("way", [1, -1])
def test_only_where_both_neighbours_hold_background_a_doubtful_slice_is_certain(
    volume, imputation_params, count, way
):
    """Of gaps of one and of two, in either order of the file."""
    params = imputation_params(target_spacing=None, count=count)
    imputer = classical_imputer("linear", params)

    def doubting(stack, positions, rng):
        made = imputer.method(stack, positions, rng)
        return replace(made, confidence=np.full(made.image[:, :, 0].shape, 0.5, np.float32))

    values = np.random.default_rng(0).integers(50, 200, (12, 10, 9)).astype(np.int16)
    values[:8, :, :3] = 0
    absent = [1, 5, 6] if way == 1 else [2, 3, 7]
    stored = np.ascontiguousarray(values[..., ::way])
    lacking = Case(volume(stored, np.diag([1.0, 1, 4 * way, 1])), record={"absent_slices": absent})
    made = impute_case(lacking, replace(imputer, method=doubting), params)
    certain = made.maps["confidence"].intensities()[..., ::way] == 1
    step = count + 1
    acquired = [k * step for k in (0, 2, 3, 4, 7, 8)]
    assert np.flatnonzero(certain.all(axis=(0, 1))).tolist() == acquired
    background = np.flatnonzero(certain[:8].all(axis=(0, 1))).tolist()
    assert background == sorted({*range(2 * step), *acquired})


@pytest.fixture(params=[1, -1])
def ball(request, volume):
    """Areas, like those of a ball, and brightness are parabolas; slices 2, 5 and 6 are absent."""
    x, y, z = np.indices((40, 40, 10))
    rank = np.hypot(x - 19.6, y - 19.2)[..., 0].ravel().argsort().argsort().reshape(40, 40, 1)
    label = (rank < 1000 - 12 * (z - 3) ** 2).astype(np.uint8)
    stored = (100 + 3 * x + 2 * (2 * z - 5) ** 2).astype(np.int16)
    affine = np.diag([2.0, 1, 4 * request.param, 1])
    turned = (volume(each[..., :: request.param].copy(), affine) for each in (stored, label))
    absent = [k if request.param == 1 else 9 - k for k in (2, 5, 6)]
    return Case(*turned, record={"absent_slices": sorted(absent)})


def test_areas_of_labels_run_through_the_true_positions(ball, imputation_params):
    """They are the parabola but for ties with the background; as if even, 28 pixels are missing."""
    params = imputation_params(target_spacing=None, count=0)
    made = impute_case(ball, classical_imputer("shape_matched", params), params)
    found, true = (np.count_nonzero(each.label.stored, (0, 1)) for each in (made, ball))
    np.testing.assert_allclose(found, true, atol=6)


def test_a_method_sees_where_slices_lie_and_how_far_apart_they_typically_are(
    lacking, imputation_params
):
    params = imputation_params(target_spacing=None, count=0)
    imputer, seen = classical_imputer("linear", params), []

    def looking(stack, positions, rng):
        seen.append(stack)
        return imputer.method(stack, positions, rng)

    for absent in ([2, 5, 6], [1, 3, 5, 7], [1, 3, 5]):
        uneven = replace(lacking, record={"absent_slices": absent})
        impute_case(uneven, replace(imputer, method=looking), params)
    first, second, even, mixed = seen
    assert np.diff(first.at).tolist() == np.diff(second.at).tolist() == [1, 2, 1, 3, 1]
    assert even.at is None
    assert np.diff(mixed.at).tolist() == [2, 2, 2, 1, 1]
    rows, columns = lacking.image.spacing[2] / lacking.image.spacing[:2]
    for stack, steps in ((first, 1), (even, 2), (mixed, 2)):
        assert sorted(stack.apart) == pytest.approx(sorted([steps * rows, steps * columns]))


def test_acquired_slices_that_a_method_does_not_see_stay(case, imputation_params):
    params = imputation_params(target_spacing=None, count=0, restore_acquired=False)
    imputer = classical_imputer("linear", params)

    def brighter(stack, positions, rng):
        made = imputer.method(stack, positions, rng)
        return replace(made, acquired=stack.image + 10)

    lacking = replace(case(shape=(12, 10, 9)), record={"absent_slices": [5, 6]})
    made = impute_case(lacking, replace(imputer, method=brighter), params).image.stored
    added = made.astype(int) - lacking.image.stored
    assert [np.unique(added[..., k]).tolist() for k in (0, 1, 2, 3, 8)] == [[0]] * 5
    assert [np.unique(added[..., k]).tolist() for k in (4, 7)] == [[10]] * 2


def test_the_longest_run_of_acquired_slices_is_learned_from(case, lacking):
    run = longest_stack(replace(lacking, record={"absent_slices": [0, 2, 6]}))
    assert run.image.stored[3, 4].tolist() == lacking.image.stored[3, 4, 3:6].tolist()
    assert run.label.stored.shape == run.image.stored.shape
    assert run.absent == ()
    whole = case()
    assert longest_stack(whole) is whole


def test_the_record_counts_the_slices_of_the_whole_series(lacking, imputation_params):
    record = impute(lacking, imputation_params, count=1).record
    assert record["source"]["absent_slices"] == list(ABSENT)
    assert record["count"] == 1
    assert record["parameters"]["count"] == 1
    slices = record["slices"]
    assert [one["index"] for one in slices] == list(range(17))
    assert slices[8] == {"index": 8, "acquired": 4}
    assert slices[4]["between"] == [1, 3]
    assert slices[4]["t"] == 0.5  # the absent slice 2
    assert slices[12]["between"] == [4, 7]
    assert slices[12]["t"] == pytest.approx(2 / 3, abs=1e-6)  # the absent slice 6


def test_an_exact_grid_keeps_what_falls_on_it(lacking, imputation_params):
    made = impute(lacking, imputation_params, count=None, target_spacing=2.5, exact=True)
    places = np.arange(13) * 2.5 / 4
    np.testing.assert_allclose(made.image.stored[3, 4], np.rint(100 * places), atol=1)
    acquired = {one["index"]: one["acquired"] for one in made.record["slices"] if "acquired" in one}
    assert acquired == {0: 0}  # 5 mm · 4 is slice 5, which is absent
    assert verify_imputed_case(made, lacking) == []


def test_a_changed_acquired_slice_is_found_and_an_absent_one_is_none(lacking, imputation_params):
    made = impute(lacking, imputation_params, count=1)
    made.image.stored[0, 0, 2 * 5] += 1
    assert verify_imputed_case(made, lacking) == []
    made.image.stored[0, 0, 2 * 4] += 1
    assert "acquired slice 4, output slice 8" in verify_imputed_case(made, lacking)[0]
    claimed = replace(lacking, record={})
    assert any("acquired slice 2" in text for text in verify_imputed_case(made, claimed))


@pytest.mark.parametrize("changes", [{"orthogonal": True}, {"through_plane": "A"}])
def test_another_axis_is_refused(lacking, imputation_params, changes):
    with pytest.raises(BadCase, match="leave --orthogonal and --axis out"):
        impute(lacking, imputation_params, count=1, **changes)


def test_slices_two_steps_apart_are_refused_also_where_they_would_all_be_acquired_ones(
    lacking, imputation_params
):
    odd = replace(lacking, record={"absent_slices": [1, 3, 5, 7]})
    with pytest.raises(BadCase, match=r"below 8 mm.* found 8 mm"):
        impute(odd, imputation_params, count=None, target_spacing=8.0, exact=True)


def test_a_grid_of_acquired_slices_alone_imputes_what_is_absent(lacking, imputation_params):
    made = impute(lacking, imputation_params, count=None, target_spacing=4.0, exact=True)
    np.testing.assert_allclose(made.image.stored[3, 4], 100 * np.arange(9), atol=1)


def test_what_is_too_much_is_counted_across_the_slices_of_the_series(volume, imputation_params):
    """Slices 1 mm apart of pixels 3 mm wide: `auto` would take rows for slices."""
    values = np.arange(12 * 10 * 9, dtype=np.int16).reshape(12, 10, 9)
    lacking = Case(volume(values, np.diag([3.0, 3, 1, 1])), record={"absent_slices": [4]})
    assert len(impute(lacking, imputation_params, count=1, most_slices=17).record["slices"]) == 17
    with pytest.raises(BadCase, match=r"found 17 slices 0\.5 mm apart"):
        impute(lacking, imputation_params, count=1, most_slices=16)


@pytest.fixture
def filled(case):
    """Thirteen slices of which three were absent and are filled with a guess far off."""
    made = case(shape=(12, 11, 13))
    ramp = np.broadcast_to(100 * np.arange(13), (12, 11, 13)).astype(np.int16).copy()
    ramp[:6] += 50
    label = np.broadcast_to((ramp[..., :1] > 0).astype(np.uint8), ramp.shape).copy()
    ramp[..., [3, 4, 7]] = 2000
    label[..., [3, 4, 7]] = 0
    volumes = made.image.with_stored(ramp), made.label.with_stored(label)
    return Case(*volumes, record={"absent_slices": [3, 4, 7]})


@pytest.fixture
def thinned(filled):
    every_other = AnisotropizationParams(axis="S", factor=2, profile="point", fwhm=None)
    return subsample(filled, every_other)


def test_of_a_thinned_series_acquired_slices_stay_and_absent_ones_are_imputed(
    thinned, filled, imputation_params
):
    made = impute(thinned, imputation_params, count=1)
    kept = [0, 2, 6, 8, 10, 12]
    np.testing.assert_array_equal(made.image.stored[..., kept], filled.image.stored[..., kept])
    acquired = [one["index"] for one in made.record["slices"] if "acquired" in one]
    assert acquired == kept
    assert made.image.stored[0, 0, 4] == 450  # between 2 and 6; the guess is not looked at
    assert verify_imputed_case(made, thinned) == []


def test_guesses_are_not_scored_as_truth(thinned, filled, imputation_params):
    made = impute(thinned, imputation_params, count=1)
    slices = corresponding_slices(made.record)
    assert slices.truth[slices.synthetic].tolist() == [1, 5, 9, 11]
    params = ScoreParams(label_names={0: "background", 1: "bright"})
    scores = score_imputed_case(made, filled, slices, params)
    assert scores["slices"] == 4
    assert scores["mae_field"] == pytest.approx(0, abs=1)
    assert scores["ssim_all_slices"] == pytest.approx(1, abs=1e-3)
    assert scores["dice_mean"] == 1
    assert scores["assd_mean"] == 0

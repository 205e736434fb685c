"""Sharper slices: as sharp as acquired ones at most, at the price that was allowed at most."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.imputation.methods import sharp
from slicefill.imputation.methods.classical import impute_classically
from slicefill.plugins import find_system
from slicefill.types import Stack

ENTRY = {"kind": "sharp", "base": {"kind": "classical", "rule": "linear"}}
WINDOW = np.array([[0.0, 1.0]])


def scan(depth=41, size=48, seed=0, smooth=(2, 1, 1)):
    """Texture that is smooth across slices, in [0, 1]."""
    white = np.random.default_rng(seed).standard_normal((depth, size, size))
    noise = gaussian_filter(white, smooth)
    return (0.5 + noise / noise.std() / 8).clip(0, 1).astype(np.float32)


def stack_of(volume, factor=4):
    return Stack(volume[::factor, None], WINDOW)


def linear(stack, positions, rng):
    return impute_classically("linear", stack, positions)


def finished(stack, positions=(0.25, 0.5, 0.75), **changes):
    params = sharp.Params(**{"base": ENTRY["base"], **changes})
    rng = np.random.default_rng(0)
    return sharp.finish(params, stack, linear, rng)[0](stack, positions, rng)


def energy(slices):
    return np.square(slices - gaussian_filter(slices, (0,) * (slices.ndim - 2) + (0.7, 0.7))).mean()


def test_the_loss_allowed_is_the_loss_by_hand():
    rng = np.random.default_rng(0)
    error, detail = rng.standard_normal((2, 5, 2, 8, 8))
    for decibel in (0.05, 0.5):
        most = sharp.strongest(error, detail, decibel)
        assert most.shape == (2,)
        for channel, share in enumerate(most):
            before = np.square(error[:, channel]).mean()
            after = np.square(error[:, channel] + share * detail[:, channel]).mean()
            assert 10 * np.log10(after / before) == pytest.approx(decibel)


def test_the_trial_of_uneven_slices_takes_them_for_even_ones():
    """Those it leaves out are no longer where the stack says."""
    seen = []

    def looking(stack, positions, rng):
        seen.append(stack)
        return linear(stack, positions, rng)

    stack = replace(stack_of(scan()), at=np.arange(11.0) ** 2)
    sharp.finish(sharp.Params(base=ENTRY["base"]), stack, looking, np.random.default_rng(0))
    assert [each.at for each in seen] == [None]


def test_slices_that_are_left_out_lose_what_is_allowed_and_no_more():
    stack = stack_of(scan())
    params = sharp.Params(base=ENTRY["base"], most_loss=0.1)
    most = sharp._allowed(params, stack, linear, np.random.default_rng(0))
    sparse, real = replace(stack, image=stack.image[::2]), stack.image[1::2]
    plain = linear(sparse, [0.5], None).image
    changed = plain[:, 0] + most[0] * sharp._detail(plain[:, 0], params.sigma)
    errors = [np.square(made - real).mean() for made in (plain[:, 0], changed)]
    assert 10 * np.log10(errors[1] / errors[0]) == pytest.approx(0.1, abs=1e-3)


def test_detail_grows_with_what_is_allowed_up_to_that_of_acquired_slices():
    stack = stack_of(scan())
    plain = linear(stack, (0.25, 0.5, 0.75), None).image
    made = [finished(stack, most_loss=loss).image for loss in (1e-6, 0.05, 0.2, 50.0)]
    energies = [energy(each) for each in (plain, *made)]
    assert energies == sorted(energies)
    assert energies[1] < energies[2] < energies[3]
    assert energies[-1] == pytest.approx(energy(stack.image), rel=0.02)
    lowest, highest = stack.image.min(), stack.image.max()
    assert all(lowest <= each.min() and each.max() <= highest for each in made)


def test_what_was_gained_is_told_and_is_no_more_than_what_was_allowed():
    stack, rng = stack_of(scan()), np.random.default_rng(0)
    params = sharp.Params(base=ENTRY["base"], most_loss=50.0)
    method, told = sharp.finish(params, stack, linear, rng)
    assert told["gain"] == [0]
    plain, made = (each(stack, (0.5,), rng).image for each in (linear, method))
    detail = plain - gaussian_filter(plain, (0, 0, 0, 0.7, 0.7))
    within = np.abs(made - plain) > 1e-3  # where nothing was clipped, the gain is one number
    assert np.median((made - plain)[within] / detail[within]) == pytest.approx(
        told["gain"][0], abs=1e-3
    )
    assert 0 < told["gain"][0] < told["most_gain"][0]
    two = sharp.finish(params, stack_of(scan(5)), linear, rng)[1]
    assert two == {"most_gain": None, "gain": None}


def test_slices_as_sharp_as_acquired_ones_stay():
    flat = Stack(np.full((5, 1, 16, 16), 0.5, np.float32), WINDOW)
    assert (finished(flat).image == np.float32(0.5)).all()
    same = Stack(np.repeat(scan(1)[:, None], 5, axis=0), WINDOW)
    np.testing.assert_allclose(finished(same).image, linear(same, [0.25, 0.5, 0.75], None).image)


def test_what_gains_nothing_stays_beyond_its_neighbours_too():
    """A spline overshoots: its slice of 1.2 between two of 0 to 1 stays."""
    stack = stack_of(scan())
    made = np.repeat(stack.image[:-1, None], 2, axis=1)
    made[3, 1, 0, 5, 7] = 1.2
    stays, gain = sharp.sharpen(made, stack, np.zeros(1), 0.7)
    assert gain.tolist() == [0]
    np.testing.assert_array_equal(stays, made)


def test_slices_one_after_the_other_are_sharpened_as_those_of_their_intervals():
    stack, most = stack_of(scan()), np.array([3.0])
    made = linear(stack, (0.4, 0.8), None).image
    expected, gain = sharp.sharpen(made, stack, most, 0.7)
    flat = made.reshape(-1, 1, *made.shape[2:])
    counts = np.full(len(made), 2)
    found, same = sharp.sharpen(flat, stack, most, 0.7, counts=counts)
    assert gain[0] > 0
    np.testing.assert_allclose(same, gain)
    np.testing.assert_allclose(found.reshape(made.shape), expected, atol=1e-6)


def test_an_exact_grid_has_one_gain_for_all_slices(make_case, imputation_params):
    """Whose intervals have two or three slices each, and positions of their own."""
    case = make_case(scan(33)[::4].astype("f4"), interval=4.0)
    params = imputation_params(
        through_plane="auto", count=None, target_spacing=1.5, exact=True, choose=False
    )
    entries = "linear", ENTRY | {"most_loss": 50.0}
    plain, made = (impute_case(case, load_named(entry, params), params) for entry in entries)
    synthetic = np.flatnonzero(plain.maps["synthetic_mask"].stored.all((0, 1)))
    assert len(synthetic) > 12
    gain = made.record["finished"]["gain"][0]
    assert 0 < gain < made.record["finished"]["most_gain"][0]
    for index in synthetic:
        before, after = (each.image.stored[..., index] for each in (plain, made))
        detail = before - gaussian_filter(before, 0.7)
        within = np.abs(detail) > 1e-3
        assert np.median((after - before)[within] / detail[within]) == pytest.approx(gain, abs=2e-3)
    sharpest = [
        energy(np.moveaxis(each, 2, 0))
        for each in (made.image.stored[..., synthetic], case.image.stored)
    ]
    assert sharpest[0] == pytest.approx(sharpest[1], rel=0.02)


def test_two_slices_stay_as_they_were():
    two = stack_of(scan(5))
    np.testing.assert_array_equal(finished(two).image, linear(two, (0.25, 0.5, 0.75), None).image)


def test_where_nothing_lies_between_slices_nothing_is_gained():
    method, told = sharp.finish(
        sharp.Params(base=ENTRY["base"]), stack_of(scan()), linear, np.random.default_rng(0)
    )
    assert not method(stack_of(scan()), (), np.random.default_rng(0)).image.size
    assert told["gain"] == [0]


def test_channels_are_sharpened_apart():
    volume = scan()
    other = scan(seed=1, smooth=(1, 3, 3))
    both = Stack(np.stack([volume, other], 1)[::4], np.repeat(WINDOW, 2, 0))
    made = finished(both).image
    for channel, alone in enumerate((volume, other)):
        own = finished(stack_of(alone)).image[:, :, 0]
        np.testing.assert_allclose(made[:, :, channel], own, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"kind": "slice_imputation"}, {"kind": "sharp"}])
def test_a_base_that_has_to_be_trained_or_is_sharp_is_refused(wrong, monkeypatch):
    system = find_system("slicefill.imputation.methods", "x", {"kind": "dis"})
    monkeypatch.setattr(sharp, "find_system", lambda *_: replace(system, module=_module(wrong)))
    with pytest.raises(ValueError, match=f"neither trained nor sharpened.*got {wrong['kind']}"):
        sharp.base(sharp.Params(base=wrong))


def _module(entry):
    from importlib import import_module

    return import_module(f"slicefill.imputation.methods.{entry['kind']}")


def test_a_case_is_imputed_by_the_entry_with_labels_and_confidence_of_its_base(
    make_case, imputation_params
):
    case = make_case(scan(9)[::2], interval=4.0)
    params = imputation_params(through_plane="auto", count=3)
    plain, made = (
        impute_case(case, load_named(method, params), params) for method in ("linear", ENTRY)
    )
    assert made.record["method"] == "sharp"
    assert made.record["weights"] is None
    assert 0 < made.record["finished"]["gain"][0] <= made.record["finished"]["most_gain"][0]
    assert "finished" not in plain.record
    np.testing.assert_array_equal(made.label.stored, plain.label.stored)
    synthetic = made.maps["synthetic_mask"].stored == 1
    np.testing.assert_array_equal(made.image.stored[~synthetic], plain.image.stored[~synthetic])
    assert (made.image.stored[synthetic] != plain.image.stored[synthetic]).any()
    assert np.array_equal(made.maps["confidence"].stored, plain.maps["confidence"].stored)


def test_what_is_sharpened_by_how_much_is_in_the_fingerprint(imputation_params):
    params = imputation_params(through_plane="auto", count=3)
    entries = [ENTRY, ENTRY | {"most_loss": 0.2}, ENTRY | {"base": {"kind": "dis"}}, ENTRY]
    own = [load_named(entry, params).fingerprint for entry in entries]
    assert own[0] == own[3]
    assert len(set(own)) == 3


def test_by_its_name_it_is_the_shipped_weights_and_says_so(imputation_params):
    params = imputation_params(through_plane="auto", count=3)
    imputer, shipped = load_named("sharp", params), load_named("pretrained", params)
    assert (imputer.name, imputer.weights) == ("sharp", "pretrained")
    assert imputer.model == shipped.model
    assert imputer.window == shipped.window
    assert imputer.fingerprint != shipped.fingerprint

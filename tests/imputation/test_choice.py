"""Every scan gets the method, or the blend, that its own acquired slices speak for."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.imputation.choice import Choice, blend, choose
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer, learned_imputer
from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.imputation.neighbours import Planes, predict_acquired, tried_slices
from slicefill.imputation.optical_flow import dis_flow, impute_along
from slicefill.types import Case, Stack, SyntheticSlices, Volume


def blobs(blur, depth=41, size=40):
    """Overlapping blobs of one value each, blurred as said, `(size, size, depth)`, 0 to 1000."""
    rng = np.random.default_rng(0)
    values = 300 + 20 * rng.normal(size=(size, size, depth))
    for scale in (6, 5, 4):
        values += 150 * np.sign(gaussian_filter(rng.normal(size=values.shape), scale))
    return gaussian_filter(values, blur).clip(0, 1000)


def thinned(values, dtype="f4"):
    stored = np.ascontiguousarray(values[..., ::2].astype(dtype))
    return Case(Volume(stored, nib.Nifti1Image(stored, np.diag([1.0, 1, 2, 1])).header))


@pytest.fixture(scope="module")
def impute(imputation_params):
    def by(method, values, **changes):
        params = imputation_params(through_plane="auto", count=1, **changes)
        learned = method == "pretrained"
        imputer = (
            learned_imputer(method, load_pretrained(), params)
            if learned
            else classical_imputer(method, params)
        )
        return impute_case(thinned(values), imputer, params)

    return by


def psnr(imputed, values):
    error = imputed.image.stored[..., 1::2] - values[..., 1:-1:2]
    return 10 * np.log10(1000**2 / np.square(error).mean())


@pytest.mark.parametrize("blur", [1.5, 2.0, (0.7, 0.7, 2.0), (0, 0, 1.5), (2.0, 2.0, 1.5)])
def test_a_smooth_scan_loses_nothing_to_cubic(impute, blur):
    values = blobs(blur)
    chosen, cubic = impute("pretrained", values), impute("cubic", values)
    network = impute("pretrained", values, choose=False)
    assert psnr(cubic, values) > psnr(network, values) + 1
    assert psnr(chosen, values) > psnr(cubic, values) - 0.05
    assert chosen.record["choice"]["cubic"] > 0.5
    assert chosen.record["choice"]["smoothness"] > 1


def test_a_scan_between_rough_and_smooth_is_better_than_either(impute):
    values = blobs((0, 0, 1))
    chosen = impute("pretrained", values)
    assert chosen.record["choice"]["image"] == "blend"
    best = max(
        psnr(impute("cubic", values), values),
        psnr(impute("pretrained", values, choose=False), values),
    )
    assert psnr(chosen, values) > best - 0.05


def discs(rows=0.0, noise=20.0):
    """A disc that moves by so many rows from slice to slice, 0 to 1000."""
    i, j, k = np.indices((48, 48, 41))
    inside = np.hypot(i - 24 - rows * (k - 20), j - 24) < 10
    textured = 200 * gaussian_filter(np.random.default_rng(1).normal(size=(48, 48)), 2)[..., None]
    noisy = np.random.default_rng(0).normal(0, noise, inside.shape)
    return (100 + 700.0 * inside + textured + noisy).clip(0, 1000)


def test_acquired_slices_stay_and_a_blend_is_the_same_every_time(impute):
    values = discs(0.3)
    first, second = impute("pretrained", values), impute("pretrained", values)
    assert first.record["choice"]["dis"] > 0.1
    assert first.image.stored.tobytes() == second.image.stored.tobytes()
    assert np.array_equal(first.image.stored[..., ::2], thinned(values).image.stored)
    shares = [first.record["choice"][name] for name in ("network", "dis", "cubic")]
    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_confidence_of_a_blend_is_scaled_by_its_error(impute):
    values = discs(0.3)
    chosen, network = impute("pretrained", values), impute("pretrained", values, choose=False)
    assert network.record["choice"] is None
    confidence = [one.maps["confidence"].stored for one in (chosen, network)]
    scaled, plain = (10_000.0 - each for each in confidence)
    moved = plain > 100
    ratio = scaled[moved] / plain[moved]
    assert ratio.mean() <= chosen.record["choice"]["error_scale"] + 1e-3
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=0.02)


def test_only_weights_that_were_shipped_or_adapted_are_questioned(impute, imputation_params):
    assert impute("cubic", blobs(2)).record["choice"] is None
    params = imputation_params(through_plane="auto", count=1)
    own = {**load_pretrained(), "kind": "slice_imputation"}
    imputer = learned_imputer("slice_imputation", own, params)
    assert impute_case(thinned(blobs(2)), imputer, params).record["choice"] is None
    adapted = learned_imputer("adapted", {**own, "kind": "adapted"}, params)
    assert impute_case(thinned(blobs(2)), adapted, params).record["choice"]["cubic"] > 0.5


@pytest.mark.parametrize("depth", [3, 7])
def test_too_few_slices_tell_nothing(impute, depth):
    chosen = impute("pretrained", blobs(2, depth))
    assert (chosen.record["choice"]["cubic"], chosen.record["choice"]["tried"]) == (0, 0)
    assert "fewer than 5" in chosen.record["choice"]["why"]


# --- the parts, with methods whose errors are known -----------------------------------------------


def stack_of(values):
    slices = np.moveaxis(values.astype(np.float32), 2, 0)[:, None]
    return Stack(slices, np.array([[0.0, 1000.0]]))


def network_that(alters):
    """A method that knows the truth half-way between slices two apart, and alters it."""

    def predict_in(values):
        whole = stack_of(values).image

        def predict(sparse):
            places = [int(np.abs(whole - one).sum((1, 2, 3)).argmin()) for one in sparse.image]
            image = whole[np.array(places[:-1]) + 1][:, None]
            return SyntheticSlices(alters(image), np.ones_like(image[:, :, 0]))

        return predict

    return predict_in


def test_a_network_that_is_right_is_left_alone_and_one_that_is_wrong_is_not_followed():
    rng = np.random.default_rng(0)
    values = blobs(0.4)
    stack = stack_of(values)
    right = network_that(lambda image: image)(values)
    wrong = network_that(lambda image: image + rng.normal(0, 1e4, image.shape))(values)
    assert choose(stack, right).best_there == pytest.approx(0, abs=1e-3)
    assert choose(stack, right).cubic < 0.2
    assert choose(stack, wrong).best_there > 0.9
    assert choose(stack, wrong).cubic > 0.9


@pytest.mark.parametrize(
    ("made", "expected", "scale"),
    [(0.08, 0.04, 2**0.3), (0.04, 0.08, 0.5**0.3), (0.05, 0.05, 1), (0.5, 0.001, 2), (0, 0.1, 0.5)],
)
def test_a_scan_that_errs_more_than_expected_is_expected_to_err_more(made, expected, scale):
    """The network is off by `made` widths of the window everywhere, and expects `expected`."""
    values = blobs(0.4)
    off = network_that(lambda image: image + np.float32(1000 * made))(values)

    def predict(sparse):
        told = off(sparse)
        confidence = np.full_like(told.confidence, 1 - expected)
        return replace(told, confidence=confidence, measure="expected_error")

    assert choose(stack_of(values), predict).scale == pytest.approx(scale, rel=1e-3)
    assert choose(stack_of(values), off).scale == 1  # its confidence is no error


def test_scaled_confidence_stays_a_share():
    stack = stack_of(blobs(1.0, 9))
    made = impute_classically("nearest", stack, [0.5])
    confidence = made.confidence.copy()
    confidence[0, 0, :4] = 0.3  # twice that error is more than the whole window
    made = replace(made, confidence=confidence)
    scaled = blend(Choice(scale=2.0), made, stack, [0.5])
    expected = np.maximum(1 - 2 * (1 - made.confidence), 0)
    np.testing.assert_allclose(scaled.confidence, expected, atol=1e-6)
    assert scaled.confidence.min() == 0
    assert np.array_equal(scaled.image, made.image)


def test_a_handful_of_slices_is_tried():
    assert [tried_slices(depth) for depth in (5, 7, 40, 80, 300)] == [2, 3, 4, 8, 10]
    values = blobs(1.0, 61)
    seen = []

    def predict(sparse):
        seen.append(len(sparse.image))
        return impute_classically("linear", sparse, [0.5])

    stack = stack_of(values)
    choice = choose(stack, predict)
    assert seen == [choice.tried + 1] == [7]


def test_smoothness_is_that_of_a_wave_by_hand():
    """Of cos(w k), two neighbours are off by 1 - cos w, four by 1 - 4/3 cos w + 1/3 cos 2w."""
    w = 2 * np.pi / 5
    wave = 500 + 400 * np.cos(w * np.arange(100))
    found = predict_acquired(stack_of(np.broadcast_to(wave, (2, 2, 100))))
    two, four = 1 - np.cos(w), 1 - 4 / 3 * np.cos(w) + 1 / 3 * np.cos(2 * w)
    assert found.smoothness == pytest.approx(20 * np.log10(two / four), abs=0.05)


def test_anisotropy_is_that_of_a_wave_by_hand():
    """Differences of cos(w k) are 2 - 2 cos w times as large from second to second order."""
    within, across = 2 * np.pi / 6, 2 * np.pi / 10
    i, j, k = np.indices((64, 64, 44))
    wave = 500 + 400 * np.cos(within * i) * np.cos(within * j) * np.cos(across * k)
    expected = 20 * np.log10((1 - np.cos(within)) / (1 - np.cos(across)))
    assert predict_acquired(stack_of(wave)).anisotropy == pytest.approx(expected, abs=0.3)
    flat = predict_acquired(stack_of(np.full((8, 8, 9), 500.0)))
    assert (flat.smoothness, flat.anisotropy) == (0, 0)


def test_a_scan_smooth_across_slices_alone_is_more_of_a_cubic(impute):
    alike = impute("pretrained", blobs((1, 1, 1))).record["choice"]
    across = impute("pretrained", blobs((0, 0, 1))).record["choice"]
    assert across["anisotropy"] > alike["anisotropy"] + 1


def test_a_blend_is_the_mean_by_share_and_is_trusted_by_its_error():
    stack = stack_of(blobs(1.0, 9))
    made = impute_classically("nearest", stack, [0.5])
    cubic = impute_classically("cubic", stack, [0.5])
    mixed = blend(Choice(0.25, error=0.5), made, stack, [0.5])
    np.testing.assert_allclose(mixed.image, 0.75 * made.image + 0.25 * cubic.image, rtol=1e-4)
    np.testing.assert_allclose(1 - mixed.confidence, 0.5 * (1 - made.confidence), atol=1e-6)
    assert blend(Choice(), made, stack, [0.5]) is made
    flow = impute_along(dis_flow, stack, [0.5])
    mixed = blend(Choice(0.25, 0.35), made, stack, [0.5])
    expected = 0.4 * made.image + 0.35 * flow + 0.25 * cubic.image
    np.testing.assert_allclose(mixed.image, expected, rtol=1e-4, atol=1e-3)


def test_planes_take_their_share_beside_the_network_alone():
    """They were recorded, and left out, where neither optical flow nor cubic had a share."""
    stack = stack_of(blobs(1.0, 9))
    made = impute_classically("nearest", stack, [0.5])
    cubic = impute_classically("cubic", stack, [0.5])
    choice = Choice(planes=0.25)
    assert choice.name == "blend"
    mixed = blend(choice, made, stack, [0.5], Planes(lambda stack, positions: cubic.image))
    np.testing.assert_allclose(mixed.image, 0.75 * made.image + 0.25 * cubic.image, rtol=1e-4)


def moving_texture():
    """A texture that moves by four rows a slice, `(64, 64, 41)`, 0 to 1000."""
    wide = gaussian_filter(np.random.default_rng(2).normal(size=(256, 64)), 2, mode="wrap")
    scaled = 500 + 400 * wide / np.abs(wide).max()
    return np.stack([scaled[160 - 4 * k : 224 - 4 * k] for k in range(41)], -1)


def test_optical_flow_takes_over_where_it_is_right_and_leaves_where_it_is_wrong():
    values = moving_texture()
    wrong = network_that(lambda image: image + np.float32(100))(values)
    moved = choose(stack_of(values), wrong)
    assert moved.dis_there > 0.8
    assert moved.dis > 0.42 * (1 - moved.cubic) ** 2 + 0.05  # more than where nothing is known
    shuffled = np.random.default_rng(0).permutation(values, axis=2)  # nothing moves: all changes
    right = network_that(lambda image: image)(shuffled)
    choice = choose(stack_of(shuffled), right)
    assert choice.dis_there == pytest.approx(0, abs=1e-3)
    assert choice.dis == 0


@pytest.mark.parametrize("blur", [0.4, (0, 0, 0.5)])
def test_planes_that_say_their_share_have_it_beside_cubic(blur):
    values = blobs(blur)
    stack, network = stack_of(values), network_that(lambda image: image)(values)

    def chosen(**share):
        made = Planes(lambda sparse, positions: network(sparse).image, **share)
        return choose(stack, network, made)

    choice = chosen(share=lambda smoothness, cubic: 0.7 * (1 - cubic) ** 2)
    cubic = choice.cubic / (1 - choice.planes)  # before planes took their share
    assert choice.planes == pytest.approx(0.7 * (1 - cubic) ** 2)
    assert (cubic > 0.1) == (blur != 0.4)
    assert chosen().planes != pytest.approx(choice.planes)


def test_without_a_share_of_others_the_image_is_the_networks_to_the_bit():
    stack = stack_of(blobs(1.0, 9))
    made = impute_classically("nearest", stack, [0.25, 0.5])
    before = made.image.tobytes()
    alone = blend(Choice(scale=1.5), made, stack, [0.25, 0.5])
    assert alone.image.tobytes() == before
    blend(Choice(0.2, 0.3), made, stack, [0.25, 0.5])
    assert made.image.tobytes() == before  # a blend leaves the network's slices alone


def test_a_blend_in_place_is_the_same():
    stack = stack_of(blobs(1.0, 9))
    choice = Choice(0.2, 0.3, error=0.7)
    plain = impute_classically("nearest", stack, [0.25, 0.5])
    made = replace(plain, confidence=plain.confidence.copy(), image=plain.image.copy())
    apart = blend(choice, made, stack, [0.25, 0.5])
    same = blend(choice, made, stack, [0.25, 0.5], in_place=True)
    assert same.image is made.image
    assert same.confidence is made.confidence
    np.testing.assert_array_equal(same.image, apart.image)
    np.testing.assert_array_equal(same.confidence, apart.confidence)


def test_a_cubic_does_not_ring_beside_metal():
    values = blobs(1.0, 9)
    values[10:14, 10:14, 4] = 30000
    stack = stack_of(values)
    made = impute_classically("linear", stack, [0.5])
    mixed = blend(Choice(1.0), made, stack, [0.5])
    assert impute_classically("cubic", stack, [0.5]).image.min() < -1000
    lowest = np.minimum(stack.image[:-1], stack.image[1:])[:, None] - 200
    assert (mixed.image >= lowest - 1e-3).all()


def test_a_scan_whose_middle_is_background_tells_nothing_and_keeps_its_confidence(impute):
    """As a sagittal scan of two knees."""
    values = blobs(1.0)
    values[..., 10:31] = 0
    made = impute("pretrained", values)
    assert made.record["choice"]["tried"] == 0
    assert made.record["choice"]["error_scale"] == 1
    assert 3000 < made.maps["confidence"].stored[..., 1::2].mean() < 10_000


def test_what_has_no_body_or_no_error_is_the_networks():
    empty = replace(stack_of(blobs(1.0, 9)), window=np.array([[2000.0, 3000.0]]))
    assert choose(empty, lambda s: impute_classically("linear", s, [0.5])) == Choice()

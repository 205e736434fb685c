"""Shifted by parts of a voxel, predicted and interleaved: the finer segmentation, exactly."""

from itertools import product

import nibabel as nib
import numpy as np
import pytest
import torch
from torch.nn.functional import conv3d, max_pool3d, pad

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.params.segmentation import InferenceParams
from slicefill.segmentation.inference import refinement, subvoxel_shift, wrap_all
from slicefill.segmentation.prediction import acquired_labels, make_prediction
from slicefill.segmentation.scans import Scan, make_scan
from slicefill.segmentation.subvoxel import (
    fine_step,
    in_phases,
    interleave,
    jump,
    lattice,
    phase_of,
    shift_image,
)
from slicefill.segmentation.subvoxel import subvoxel_shift as on_lattice
from slicefill.types import Case

KERNELS = [torch.randn(1, 1, 3, 3, 3, dtype=torch.float64) for _ in range(3)]
RNG = np.random.default_rng(0)


def make_fine_scan(image, step):
    depth = len(image)
    return Scan(
        image,
        np.zeros((depth, *image.shape[2:]), np.int64),
        np.ones((depth, *image.shape[2:]), np.float32),
        np.arange(depth) % step == 0,
        np.array([4.0 / step, 1.0, 1.0]),
        0,
    )


def convolve(image, dilation=1):
    """Three convolutions without strides, padded by zeros along the slices: `(1, D, H, W)`."""
    x = torch.from_numpy(np.asarray(image, np.float64)).movedim(1, 0)[None]
    for kernel in KERNELS:
        x = torch.tanh(conv3d(x, kernel, padding=(dilation, 1, 1), dilation=(dilation, 1, 1)))
    return x[0].numpy()


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_shift_equivariant_network_gives_exactly_the_finer_segmentation(step):
    """Zero padding by whole acquired slices is that of the network dilated by `step`."""
    depth = 7
    fine = RNG.normal(size=(depth * step, 1, 6, 5))
    parts = [((j, 0, 0), convolve(fine[j::step])) for j in range(step)]
    found = interleave(parts, (step, 1, 1), "extend")
    np.testing.assert_allclose(found, convolve(fine, step), atol=1e-12)


def test_a_network_with_strides_does_not():
    """The proof test can fail."""

    def pooled(image):
        x = torch.from_numpy(image).movedim(1, 0)[None]
        x = max_pool3d(pad(x, (0, 1, 0, 0, 0, 1), mode="replicate"), 2)
        return torch.nn.functional.interpolate(x, size=image.shape[:1] + image.shape[2:])[0].numpy()

    fine = RNG.normal(size=(14, 1, 6, 5))
    once = interleave([((j, 0, 0), pooled(fine[j::2])) for j in range(2)], (2, 1, 1), "extend")
    rolled = np.roll(fine, 1, axis=0)
    again = interleave([((j, 0, 0), pooled(rolled[j::2])) for j in range(2)], (2, 1, 1), "extend")
    assert np.abs(np.roll(once, 1, axis=1) - again).max() > 0.1


def test_a_circular_network_follows_a_roll_of_the_finer_image():
    def circular(image):
        x = pad(torch.from_numpy(image).movedim(1, 0)[None], (1,) * 6, mode="circular")
        return conv3d(x, KERNELS[0])[0].numpy()

    def found(fine):
        parts = [((j, 0, 0), circular(fine[j::3])) for j in range(3)]
        return interleave(parts, (3, 1, 1), "extend")

    fine = RNG.normal(size=(21, 1, 6, 5))
    rolled = found(np.roll(fine, 1, axis=0))
    np.testing.assert_array_equal(rolled, np.roll(found(fine), 1, axis=1))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_phases_of_an_imputed_scan_are_put_back_slice_by_slice(step):
    """A network that returns its input gives the imputed scan itself, the last slice included."""
    image = RNG.random(((6 - 1) * step + 1, 2, 5, 7)).astype(np.float32)
    scan = make_fine_scan(image, step)
    seen = []

    def echo(phase):
        seen.append(phase)
        return phase.image.swapaxes(0, 1)

    np.testing.assert_array_equal(in_phases(echo)(scan).swapaxes(0, 1), image)
    assert len(seen) == step
    assert {len(phase.image) for phase in seen} == {6}
    assert all(phase.acquired.all() for phase in seen)
    assert all(phase.spacing.tolist() == [4.0, 1.0, 1.0] for phase in seen)


def test_acquired_slices_keep_the_prediction_of_the_acquired_scan():
    scan = make_fine_scan(RNG.random((9, 1, 6, 5)).astype(np.float32), 4)

    def predict(given):
        return convolve(given.image)

    found = in_phases(predict)(scan)
    np.testing.assert_array_equal(found[:, ::4], predict(phase_of(scan, 4, 0)))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_threshold_gives_the_threshold_of_the_interpolated_image(
    interpolation, case, imputation_params
):
    """The interpolated image is that of imputation, which finds it another way."""
    scan = case("f4", shape=(8, 7, 5))
    rule = imputation_params(through_plane="auto", count=3)
    expected = impute_case(scan, classical_imputer(interpolation, rule), rule).image.stored
    image = np.moveaxis(scan.image.stored, 2, 0)[:, None]
    found = on_lattice(lambda x: x[:, 0] > 90, image, (4, 1, 1), interpolation=interpolation)
    expected = np.moveaxis(np.clip(expected, image.min(), image.max()), 2, 0)
    clear = np.abs(expected - 90) > 1e-3  # beyond rounding
    np.testing.assert_array_equal(found[clear], expected[clear] > 90)


@pytest.mark.parametrize("factors", [(1, 2, 3), (2, 2, 2)])
@pytest.mark.parametrize("border", ["inside", "extend"])
def test_several_axes_agree_with_a_loop_over_fine_voxels(factors, border):
    image = RNG.random((3, 1, 4, 5)).astype(np.float32)
    found = on_lattice(lambda x: x[:, 0], image, factors, border=border)
    sizes = [3, 4, 5]
    pairs = list(zip(sizes, factors, strict=True))
    shape = [d * k if border == "extend" else (d - 1) * k + 1 for d, k in pairs]
    assert found.shape == tuple(shape)
    for fine in product(*map(range, shape)):
        place = [min(m / k, d - 1) for m, (d, k) in zip(fine, pairs, strict=True)]
        total = 0.0
        for corner in product(*(range(d) for d in sizes)):
            weight = np.prod([max(0.0, 1 - abs(p - c)) for p, c in zip(place, corner, strict=True)])
            total += weight * image[corner[0], 0, corner[1], corner[2]]
        assert found[fine] == pytest.approx(total, abs=1e-5)


def test_every_fine_voxel_gets_exactly_one_value():
    factors, sizes = (2, 3, 2), (3, 2, 4)
    counts = np.zeros([d * k for d, k in zip(sizes, factors, strict=True)], int)
    for shift in lattice(factors):
        counts[tuple(slice(a, None, k) for a, k in zip(shift, factors, strict=True))] += 1
    assert (counts == 1).all()
    assert len(lattice(factors)) == 12


def test_labels_are_interleaved_as_they_are():
    labels = RNG.integers(0, 300, (5, 1, 6, 4)).astype(np.int16)
    found = on_lattice(
        lambda x: np.rint(x[:, 0]).astype(np.int16), labels.astype(np.float32), (2, 1, 1)
    )
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found[::2], labels[:, 0])


def test_an_axis_of_one_voxel_cannot_be_made_finer():
    with pytest.raises(ValueError, match="rows: expected two or more"):
        on_lattice(lambda x: x, np.zeros((3, 1, 1, 5), np.float32), (2, 2, 1))


def test_an_exact_grid_has_no_phases():
    scan = make_fine_scan(np.zeros((8, 1, 4, 4), np.float32), 3)
    with pytest.raises(ValueError, match="evenly spaced"):
        fine_step(scan)


def test_the_image_is_extended_by_its_edge():
    image = np.array([0.0, 4.0, 8.0], np.float32).reshape(3, 1, 1, 1)
    shifted = shift_image(image, (1, 0, 0), (4, 1, 1), "linear")
    assert shifted.ravel().tolist() == [1.0, 5.0, 8.0]


def test_jump_is_1_where_labels_change_evenly_and_the_step_where_at_one_place():
    ramp = np.arange(9).reshape(-1, 1, 1)
    assert jump(ramp, 4) == 1
    assert jump(np.repeat(np.arange(3), 4)[2:11].reshape(-1, 1, 1), 4) == 4
    assert jump(np.zeros((9, 2, 2), int), 4) == 1


@pytest.fixture
def params(configuration):
    base = configuration()["parameters"]["segmentation"]

    def make(*wrappers):
        inference = {**base["inference"], "wrappers": list(wrappers), "softmax": True}
        names = {0: "background", 7: "bright"}
        return SegmentationParams(**{**base, "label_names": names, "inference": inference})

    return make


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("factors", [(4, 1, 1), (3, 2, 2)])
@pytest.mark.parametrize("depth", [2, 5])
def test_a_finer_label_map_lies_in_the_world_of_the_scan(
    axis, factors, depth, volume, configuration, params
):
    """Odd sizes, two channels, oblique: every voxel centre is where its fraction says."""
    shape = np.insert([11, 7], axis, depth)
    turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.4)
    affine = nib.affines.from_matvec(turn @ np.diag(np.insert([0.5, 1.0], axis, 4.0)), [-40, 25, 7])
    image = volume(RNG.random((*shape, 2)).astype(np.float32), affine)
    seen = AugmentationParams(
        **{**configuration()["parameters"]["augmentation"], "through_plane": "auto"}
    )
    scan = make_scan(Case(image), None, None, seen)
    names = dict(zip(("slices", "rows", "columns"), factors, strict=True))
    rule = params({"kind": "subvoxel_shift", "interpolation": "linear", **names})

    def predict(given):
        inside = given.image[:, 0]
        return np.stack([1 - inside, inside])

    wrapped = wrap_all(predict, rule.inference.wrappers)
    made = make_prediction(wrapped, scan, Case(image), rule)
    plain = make_prediction(predict, scan, Case(image), params())
    steps = np.insert(factors[1:], axis, factors[0])
    assert made.label.stored.shape == tuple((shape - 1) * steps + 1)
    assert made.softmax.stored.shape == (*made.label.stored.shape, 2)
    index = np.array([[0, 0, 0], [1, 2, 3], np.array(made.label.stored.shape) - 1])
    for found in (made.label, made.softmax):
        np.testing.assert_allclose(
            nib.affines.apply_affine(found.affine, index),
            nib.affines.apply_affine(image.affine, index / steps),
            atol=1e-4,
        )
    coarse = tuple(slice(None, None, k) for k in steps)
    np.testing.assert_array_equal(made.label.stored[coarse], plain.label.stored)
    np.testing.assert_array_equal(acquired_labels(made), np.moveaxis(plain.label.stored, axis, 0))


def test_factor_1_is_the_native_prediction_and_factors_multiply(params):
    twice = {"kind": "subvoxel_shift", "interpolation": "linear", "slices": 2}
    assert refinement(params().inference.wrappers) == (1, 1, 1)
    assert refinement(params(twice, {**twice, "rows": 3}).inference.wrappers) == (4, 3, 1)
    image = RNG.random((4, 1, 5, 6)).astype(np.float32)
    np.testing.assert_array_equal(on_lattice(lambda x: x[:, 0], image, (1, 1, 1)), image[:, 0])


@pytest.mark.parametrize("border", ["inside", "extend"])
def test_mirror_images_are_averaged_where_they_lie_on_each_other(border):
    """Of a pointwise network they are all the same; around an extended grid they are refused."""
    ramp = np.broadcast_to(np.linspace(0, 1, 5), (3, 1, 4, 5)).astype(np.float32)
    scan = make_fine_scan(ramp, 1)
    finer = {"kind": "subvoxel_shift", "columns": 2, "interpolation": "linear", "border": border}
    mirrored = {"kind": "mirrored", "axes": ["columns"]}

    def pointwise(given):
        return np.stack([1 - given.image[:, 0], given.image[:, 0]])

    expected = wrap_all(pointwise, [finer])(scan)
    np.testing.assert_allclose(wrap_all(pointwise, [mirrored, finer])(scan), expected, atol=1e-6)
    other_axis = [finer, {**mirrored, "axes": ["rows"]}]
    np.testing.assert_allclose(wrap_all(pointwise, other_axis)(scan), expected, atol=1e-6)
    if border == "inside":
        around = wrap_all(pointwise, [finer, mirrored])(scan)
        np.testing.assert_allclose(around, expected, atol=1e-6)
    else:
        with pytest.raises(ValueError, match=r"wrappers\[1\]: .*put mirrored first"):
            wrap_all(pointwise, [finer, mirrored])
        with pytest.raises(ValueError, match=r"wrappers\[1\]: .*put mirrored first"):
            InferenceParams(wrappers=[finer, mirrored])  # before anything is trained


@pytest.mark.parametrize(
    "wrong",
    [
        {"interpolation": "linear"},
        {"interpolation": "imputed", "slices": 2},
        {"interpolation": "imputed", "border": "extend"},
        {"interpolation": "nearest", "slices": 2},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|Input should"):
        subvoxel_shift.Params(**wrong)

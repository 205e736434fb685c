"""Conventional augmentation: what moves together, what stays, what is random."""

import monai.data
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from slicefill.segmentation.interface import PatchBatch
from slicefill.segmentation.objectives import transform_batch
from slicefill.segmentation.transforms import make_all

SHAPES = pytest.mark.parametrize("shape", [(24, 32), (5, 24, 32)])
STILL = {"flip": False, "rotation": 0, "scaling": 0, "elastic": 0, "intensity": 0, "noise": 0}


def make_params(**changes):
    values = {"flip": True, "rotation": 20, "scaling": 0.2, "elastic": 3}
    values |= {"probability": 1.0, "intensity": 0.2, "noise": 0.05}
    return {**values, **changes}


def make_transforms(**changes):
    values = make_params(**changes)
    shared = {"probability": values["probability"]}
    geometric = {name: values[name] for name in ("flip", "rotation", "scaling", "elastic")}
    intensity = {name: values[name] for name in ("intensity", "noise")}
    return make_all(
        [{"kind": "geometric", **shared, **geometric}, {"kind": "intensity", **shared, **intensity}]
    )


def make_batch(shape, size=4, channels=2):
    """A sphere of class 2 in a background of classes 0 and 1; the mask is the second channel."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    ball = sum((a - 0.2) ** 2 for a in axes) < 0.3
    label = np.where(ball, 2, axes[-1] > 0.5)
    label = torch.from_numpy(np.tile(label, (size, 1, *[1] * len(shape)))).long()
    noise = torch.rand(size, 1, *shape, generator=torch.Generator().manual_seed(0))
    image = torch.cat([noise] * (channels - 1) + [(label == 2).float()], dim=1)
    return PatchBatch(image, label, torch.ones_like(label, dtype=torch.float32))


def apply(batch, seed=0, **changes):
    return transform_batch(batch, make_transforms(**changes), np.random.default_rng(seed))


def same(one, other):
    return all(torch.equal(vars(one)[name], vars(other)[name]) for name in vars(one))


@SHAPES
def test_nothing_changes_without_flips_and_probability(shape):
    batch = make_batch(shape)
    assert same(apply(batch, probability=0, flip=False), batch)


@SHAPES
def test_transforms_of_no_extent_are_the_identity(shape):
    batch = make_batch(shape)
    moved = apply(batch, **STILL)
    torch.testing.assert_close(moved.image, batch.image, atol=1e-5, rtol=0)
    assert torch.equal(moved.label, batch.label)
    assert torch.equal(moved.weight, batch.weight)


@SHAPES
@pytest.mark.parametrize("only", ["flip", "rotation", "scaling", "elastic"])
def test_image_and_label_move_together(shape, only):
    batch = make_batch(shape)
    moved = apply(batch, **STILL | {only: make_params()[only]})
    assert not torch.equal(moved.label, batch.label)
    mask, ball = moved.image[:, 1:], moved.label == 2
    clear = (mask < 0.01) | (mask > 0.99)  # elsewhere the mask was interpolated
    assert clear.float().mean() > 0.8
    inside = moved.weight > 0  # beyond it the image goes on and the label does not
    assert torch.equal((mask > 0.5)[clear & inside], ball[clear & inside])


@SHAPES
def test_values_and_types_stay_what_they_were(shape):
    batch = make_batch(shape)
    moved = apply(batch)
    for name in ("image", "label", "weight"):
        before, after = vars(batch)[name], vars(moved)[name]
        assert type(after) is torch.Tensor
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
    assert set(moved.label.unique().tolist()) <= {0, 1, 2}
    assert set(moved.weight.unique().tolist()) <= {0, 1}


@SHAPES
def test_what_comes_from_outside_has_no_weight_and_no_label(shape):
    batch = make_batch(shape)
    full = PatchBatch(batch.image + 1, torch.full_like(batch.label, 2), batch.weight)
    moved = apply(full, **STILL | {"rotation": 45})
    assert torch.equal(moved.weight > 0, moved.label == 2)
    assert 0.5 < moved.weight.mean() < 0.99
    assert moved.image[:, :1].min() >= 1  # the image goes on with its edge


@SHAPES
def test_every_slice_moves_alike_and_on_its_own(shape):
    slices = torch.arange(5.0)[:, None, None].expand(5, 24, 32) / 5
    image = slices[None, None] if len(shape) == 3 else slices[None, :]
    label = torch.ones(1, 1, *shape, dtype=torch.int64)
    moved = apply(PatchBatch(image, label, label.float()), **STILL | {"rotation": 30, "elastic": 3})
    torch.testing.assert_close(moved.image, image)  # bilinear across slices would blend them
    same_everywhere = moved.weight == moved.weight[..., :1, :, :]
    assert same_everywhere.all() or len(shape) == 2


def test_rotation_and_scaling_are_those_of_an_independent_resampling():
    image = torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    label = torch.ones(1, 1, 24, 32, dtype=torch.int64)
    batch = PatchBatch(smooth, label, label.float())
    moved = apply(batch, **STILL | {"rotation": 20, "scaling": 0.2}).image[0, 0].numpy()

    def candidate(angle, size):
        rows, columns = np.mgrid[:24, :32] - np.array([11.5, 15.5])[:, None, None]
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        places = [cos * rows + sin * columns + 11.5, cos * columns - sin * rows + 15.5]
        return map_coordinates(smooth[0, 0].numpy(), places, order=1, mode="nearest")

    angles, sizes = np.deg2rad(np.arange(-20, 20.5, 0.5)), np.arange(0.8, 1.201, 0.01)
    errors = [np.abs(candidate(a, s) - moved).max() for a in angles for s in sizes]
    assert min(errors) < 0.02 < np.median(errors)  # a grid of candidates comes close


def test_displacement_is_bounded_by_what_is_asked_for_along_rows_and_columns():
    places = torch.stack(torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij"))
    image = places.expand(20, 2, 48, 64)
    label = torch.ones(20, 1, 48, 64, dtype=torch.int64)
    moved = apply(PatchBatch(image, label, label.float()), **STILL | {"elastic": 3}).image
    rows, columns = (moved - image)[..., 8:-8, 8:-8].unbind(1)
    for shift in (rows, columns):  # bicubic interpolation passes the control points a little
        assert 1 < shift.abs().max() < 3.5
    assert (rows - columns).abs().mean() > 0.5


@SHAPES
def test_flips_mirror_half_of_the_samples_along_every_axis(shape):
    places = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij"))
    image = places.expand(200, *places.shape)  # a channel per axis, odd under its mirror
    label = torch.ones(200, 1, *shape, dtype=torch.int64)
    moved = apply(
        PatchBatch(image, label, label.float()), **STILL | {"flip": True, "probability": 0}
    )
    signs = moved.image.flatten(2)[:, :, 0] / places.flatten(1)[:, 0]
    torch.testing.assert_close(
        moved.image, image * signs.reshape(200, -1, *[1] * len(shape)), atol=1e-6, rtol=0
    )
    mirrored = (signs < 0).sum(0)
    assert mirrored.min() > 70
    assert mirrored.max() < 130


@SHAPES
@pytest.mark.parametrize("only", ["intensity", "noise"])
def test_intensity_transforms_leave_label_and_weight_alone(shape, only):
    batch = make_batch(shape)
    moved = apply(batch, **STILL | {only: 0.2})
    assert not torch.equal(moved.image, batch.image)
    assert torch.equal(moved.label, batch.label)
    assert torch.equal(moved.weight, batch.weight)


def test_noise_has_at_most_the_deviation_asked_for():
    batch = make_batch((64, 64), size=20)
    deviation = (apply(batch, **STILL | {"noise": 0.1}).image - batch.image).std((1, 2, 3))
    assert deviation.max() < 0.105
    assert deviation.min() < 0.05 < deviation.max()


@SHAPES
def test_everything_random_follows_from_the_generator(shape):
    batch = make_batch(shape)
    transform = make_transforms()
    first = transform_batch(batch, transform, np.random.default_rng(1))
    again = transform_batch(batch, transform, np.random.default_rng(1))
    other = transform_batch(batch, transform, np.random.default_rng(2))
    assert same(first, again)
    assert not same(first, other)


def test_samples_and_batches_differ_from_each_other():
    batch = make_batch((24, 32), size=2)
    transform = make_transforms()
    rng = np.random.default_rng(0)
    first, second = (transform_batch(batch, transform, rng).label for _ in range(2))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_probability_is_the_share_of_samples_that_move():
    batch = make_batch((24, 32), size=400)
    moved = apply(batch, **STILL | {"rotation": 20, "probability": 0.25})
    share = (moved.label != batch.label).flatten(1).any(1).float().mean()
    assert 0.17 < share < 0.33


def test_batch_stays_as_it_was_and_so_does_monai():
    batch = make_batch((24, 32))
    before = PatchBatch(*(value.clone() for value in vars(batch).values()))
    apply(batch)
    assert same(batch, before)
    assert monai.data.get_track_meta()

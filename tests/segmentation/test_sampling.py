"""Which patches training draws: kinds of slices, foreground, padding, cases in memory."""

import numpy as np
import pytest
import torch

from slicefill.segmentation.sampling import Drawing, Sampler
from slicefill.segmentation.scans import Scan
from slicefill.types import Lazy

SHAPE = (9, 12, 14)  # slices 0, 4, 8 are acquired


def make_scan(shape=SHAPE, channels=1, synthetic_label=True, code=0):
    """Every voxel's intensity tells its place; id 5 in every slice, id 7 in the last alone."""
    label = np.zeros(shape, np.int64)
    label[:, 2, 3] = 5
    label[-1, -2, -2] = 7
    acquired = np.arange(shape[0]) % 4 == 0
    weight = np.ones(shape, np.float32)
    if not synthetic_label:
        weight[~acquired] = 0
        label[~acquired] = 0
    place = np.arange(label.size, dtype=np.float32).reshape(shape) + code
    image = np.repeat(place[:, None], channels, axis=1)
    return Scan(image, label, weight, acquired, np.ones(3), 0)


def promise(scans):
    return {name: Lazy(lambda scan=scan: scan, name) for name, scan in scans.items()}


def make_sampler(scans=None, patch=(6, 8), **changes):
    values = {"foreground_fraction": 0.0, "synthetic_fraction": None, "classes": (0, 5, 7)}
    scans = {"a": make_scan()} if scans is None else scans
    return Sampler(promise(scans), Drawing(patch, **{**values, "cache_gb": 1.0, **changes}))


def slices_drawn(batch):
    return (batch.image[:, 0].amin((1, 2)) // (SHAPE[1] * SHAPE[2])).int().numpy()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("patch", [(6, 8), (3, 6, 8)])
def test_batch_has_the_declared_shapes_and_types(patch, rng):
    batch = make_sampler({"a": make_scan(channels=2)}, patch).draw(4, rng)
    assert batch.image.shape == (4, 2, *patch)
    assert batch.label.shape == batch.weight.shape == (4, 1, *patch)
    assert (batch.image.dtype, batch.label.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("patch", [(6, 8), (3, 6, 8)])
def test_image_label_and_weight_are_cut_at_the_same_place(patch, rng):
    scan = make_scan()
    scan.weight[:] = rng.random(SHAPE, np.float32) + 0.1
    batch = make_sampler({"a": scan}, patch).draw(32, rng)
    places = batch.image[:, 0].long().numpy()
    ids = np.array([0, 5, 7])[batch.label[:, 0].numpy()]
    assert np.array_equal(ids, scan.label.ravel()[places])
    assert np.array_equal(batch.weight[:, 0].numpy(), scan.weight.ravel()[places])


@pytest.mark.parametrize("patch", [(6, 8), (3, 6, 8)])
def test_patches_lie_anywhere_in_the_scan(patch, rng):
    batch = make_sampler(patch=patch).draw(4000, rng)
    seen = np.unique(batch.image.numpy())
    assert len(seen) == np.prod(SHAPE)


@pytest.mark.parametrize("patch", [(6, 8), (3, 6, 8), (1, 1)])
def test_with_foreground_share_1_every_patch_shows_an_object(patch, rng):
    batch = make_sampler(patch=patch, foreground_fraction=1.0).draw(64, rng)
    assert (batch.label.flatten(1) > 0).any(1).all()


def test_classes_are_centred_on_equally_often_whatever_their_size(rng):
    batch = make_sampler(patch=(1, 1), foreground_fraction=1.0).draw(600, rng)
    assert 240 < (batch.label == 2).sum() < 360  # one voxel against nine of the other class


def test_foreground_is_centred_where_the_scan_reaches(rng):
    scan = make_scan((1, 31, 31))
    scan.label[:] = 0
    scan.label[0, 10, 17] = 5
    batch = make_sampler({"a": scan}, (5, 7), foreground_fraction=1.0).draw(2, rng)
    assert (batch.label[:, 0, 2, 3] == 1).all()


def test_voxels_of_weight_0_attract_no_patch(rng):
    scan = make_scan()
    scan.weight[scan.label == 5] = 0
    batch = make_sampler({"a": scan}, (1, 1), foreground_fraction=1.0).draw(50, rng)
    assert (batch.label == 2).all()


@pytest.mark.parametrize(("fraction", "kinds"), [(0.0, {0, 4, 8}), (1.0, {1, 2, 3, 5, 6, 7})])
@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_synthetic_share_decides_which_slices_are_drawn(fraction, kinds, foreground, rng):
    sampler = make_sampler(synthetic_fraction=fraction, foreground_fraction=foreground)
    assert set(slices_drawn(sampler.draw(200, rng))) == kinds


def test_synthetic_share_is_a_probability(rng):
    drawn = slices_drawn(make_sampler(synthetic_fraction=0.25).draw(1000, rng))
    assert 200 < np.count_nonzero(drawn % 4) < 300


def test_without_synthetic_share_every_labelled_slice_is_drawn_alike(rng):
    counts = np.bincount(slices_drawn(make_sampler().draw(1800, rng)), minlength=9)
    assert counts.min() > 140
    assert counts.max() < 260


@pytest.mark.parametrize("fraction", [None, 1.0])
def test_synthetic_slices_without_label_are_not_drawn_as_labelled(fraction, rng):
    sampler = make_sampler({"a": make_scan(synthetic_label=False)}, synthetic_fraction=fraction)
    assert set(slices_drawn(sampler.draw(100, rng))) == {0, 4, 8}


def test_unlabelled_slices_are_the_synthetic_ones_without_label(rng):
    scans = {"a": make_scan(), "b": make_scan(synthetic_label=False)}
    batch = make_sampler(scans).draw(100, rng, labelled=False)
    assert set(slices_drawn(batch)) == {1, 2, 3, 5, 6, 7}
    assert not batch.weight.any()


def test_nothing_to_draw_says_what_to_do(rng):
    with pytest.raises(ValueError, match=r"no synthetic slice without label.*unet2d"):
        make_sampler().draw(1, rng, labelled=False)
    scan = make_scan()
    scan.weight[:] = 0
    with pytest.raises(ValueError, match=r"no labelled slice.*label_names"):
        make_sampler({"a": scan}).draw(1, rng)
    with pytest.raises(ValueError, match="expected a patch of 2"):
        make_sampler(patch=(3, 6, 8)).draw(1, rng, labelled=False)
    with pytest.raises(ValueError, match="at least one training case"):
        make_sampler({})


def test_ids_that_are_no_class_give_no_loss(rng):
    batch = make_sampler(classes=(0, 7), patch=(9, 12, 14)).draw(1, rng)
    label = make_scan().label
    assert np.array_equal(batch.label[0, 0].numpy(), label == 7)
    assert np.array_equal(batch.weight[0, 0].numpy(), label != 5)


@pytest.mark.parametrize(("patch", "shape"), [((16, 18), (12, 14)), ((11, 16, 18), SHAPE)])
def test_small_scans_are_padded_by_their_edge_without_weight(patch, shape, rng):
    batch = make_sampler(patch=patch, foreground_fraction=1.0).draw(3, rng)
    inside = tuple(slice((p - s) // 2, (p - s) // 2 + s) for p, s in zip(patch, shape, strict=True))
    weight = np.zeros(patch)
    weight[inside] = 1
    for image, label, weights in zip(batch.image, batch.label, batch.weight, strict=True):
        assert np.array_equal(weights[0].numpy(), weight)
        assert not label[weights == 0].any()
        margin = [(start.start, p - start.stop) for start, p in zip(inside, patch, strict=True)]
        assert np.array_equal(image[0], np.pad(image[0].numpy()[inside], margin, mode="edge"))


def test_cases_are_drawn_equally_often(rng):
    scans = {name: make_scan(code=10_000 * i) for i, name in enumerate("abc")}
    batch = make_sampler(scans).draw(900, rng)
    counts = np.bincount((batch.image.amin((1, 2, 3)) // 10_000).int().numpy())
    assert counts.min() > 240


def test_same_seed_same_patches_whatever_was_read_before():
    scans = {name: make_scan(code=10_000 * i) for i, name in enumerate("abcd")}

    def draw(seed, epochs_before):
        sampler = make_sampler(scans, foreground_fraction=0.5, cache_gb=5e-5)
        for before in range(epochs_before):
            sampler.begin_epoch(np.random.default_rng(before))
        rng = np.random.default_rng(seed)
        sampler.begin_epoch(rng)
        return sampler.draw(20, rng).image

    assert torch.equal(draw(1, epochs_before=0), draw(1, epochs_before=3))
    assert not torch.equal(draw(1, epochs_before=0), draw(2, epochs_before=0))


def test_an_epoch_reads_no_more_cases_than_fit_and_each_once():
    scans = {name: make_scan(code=10_000 * i) for i, name in enumerate("abcdef")}
    reads = []
    counted = {
        name: Lazy(lambda name=name, scan=scan: reads.append(name) or scan, name)
        for name, scan in scans.items()
    }
    one = np.prod(SHAPE) * (4 + 2 + 4)  # bytes: image, label, weight
    drawing = Drawing((6, 8), 0.5, None, (0, 5, 7), cache_gb=2.5 * one / 1e9)
    sampler = Sampler(counted, drawing)
    seen = set()
    for epoch in range(12):
        rng = np.random.default_rng(epoch)
        sampler.begin_epoch(rng)
        reads.clear()
        sampler.draw(40, rng)
        assert len(reads) == len(set(reads)) <= 2
        seen.update(reads)
    assert seen == set(scans)


def test_all_cases_take_part_in_an_epoch_if_they_fit(rng):
    scans = {name: make_scan(code=10_000 * i) for i, name in enumerate("abcdef")}
    sampler = make_sampler(scans)
    sampler.begin_epoch(rng)
    drawn = sampler.draw(100, rng).image.amin((1, 2, 3)) // 10_000
    assert set(drawn.int().tolist()) == set(range(6))


def test_case_with_other_channels_is_named(rng):
    sampler = make_sampler({"first": make_scan(channels=2), "odd": make_scan(channels=3)})
    assert sampler.channels == 2
    with pytest.raises(ValueError, match=r"odd: expected 2 image channels as in first, got 3"):
        sampler.begin_epoch(rng)

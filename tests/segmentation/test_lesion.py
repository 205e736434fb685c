"""Lesions injected and erased: image and label change together, and nothing else."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from slicefill.segmentation.transforms import lesion, make_all

SHAPES = pytest.mark.parametrize("shape", [(40, 48), (8, 40, 48)])
ENTRY = {
    "kind": "lesion",
    "probability": 1.0,
    "erase": 0.0,
    "lesion": 2,
    "hosts": [1],
    "radius": [3, 6],
    "contrast": [0.1, 0.3],
    "thickness": 2.0,
}


def organ(shape, seed=0, channels=2):
    """A textured organ, class 1, in a body without texture: image and truth of a patch."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = sum(a**2 for a in axes[-2:]) < 0.7
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(channels, *shape)), 1)
    image = np.where(inside, 0.5 + 0.1 * noise, 0.2).astype(np.float32)
    image[:, ..., 0] = 1.0  # something bright that is no organ: room for what is lighter
    truth = np.stack([inside, np.full(shape, 0.7)]).astype(np.float32)
    return {"image": torch.from_numpy(image), "truth": torch.from_numpy(truth)}


def apply(patch, seed=0, classes=(0, 1, 2, 5), **changes):
    (transform,) = make_all([ENTRY | changes], classes)
    transform.set_random_state(seed)
    return transform(patch)


@SHAPES
@pytest.mark.parametrize("contrast", [[0.1, 0.3], [-0.2, -0.1]])
def test_the_label_of_a_lesion_is_where_the_image_changed(shape, contrast):
    before = organ(shape)
    for seed in range(5):
        after = apply(before, seed, contrast=contrast)
        made = after["truth"][0] == 2
        assert made.any()
        assert torch.equal(made, (after["image"] != before["image"]).any(0))
        assert (before["truth"][0][made] == 1).all()  # it lies in its host
        assert torch.equal(after["truth"][0][~made], before["truth"][0][~made])
        assert torch.equal(after["truth"][1], before["truth"][1])
        change = (after["image"] - before["image"])[:, made]
        assert (change * contrast[0] >= 0).all()  # lighter, or darker, throughout
        assert 0.1 <= change.abs().max() <= max(map(abs, contrast)) + 1e-6


def test_a_lesion_is_one_piece_of_the_size_asked_for():
    from scipy.ndimage import label

    for seed in range(10):
        made = apply(organ((64, 64)), seed)["truth"][0].numpy() == 2
        assert label(made)[1] == 1
        assert 10 < made.sum() < np.pi * (1.3 * 6 * 1.8) ** 2


@SHAPES
def test_erasing_removes_image_and_label_and_nothing_else(shape):
    healthy = organ(shape)
    ill = apply(healthy, contrast=[0.3, 0.3])
    was = ill["truth"][0] == 2
    healed = apply(ill, erase=1.0)
    assert torch.equal(healed["truth"], healthy["truth"])
    assert torch.equal(healed["image"][:, ~was], ill["image"][:, ~was])
    inside = healed["image"][:, was]
    assert float(inside.mean()) == pytest.approx(float(healthy["image"][:, was].mean()), abs=0.04)
    assert 0.5 < float(inside.std() / healthy["image"][:, was].std()) < 1.5  # texture, no hole


@SHAPES
@pytest.mark.parametrize("erased", [0.0, 1.0])
def test_types_and_the_range_of_intensities_stay(shape, erased):
    before = apply(organ(shape), 3)
    after = apply(before, erase=erased, contrast=[-2, 2])
    for name in before:
        assert after[name].dtype == before[name].dtype
        assert after[name].shape == before[name].shape
    for one, other in zip(before["image"], after["image"], strict=True):
        assert other.min() >= one.min()
        assert other.max() <= one.max()


@pytest.mark.parametrize("erased", [0.0, 1.0])
def test_everything_random_follows_from_the_seed_and_the_input_stays(erased):
    before = apply(organ((40, 48)), 3)
    kept = {name: values.clone() for name, values in before.items()}
    first, again, other = (apply(before, seed, erase=erased)["image"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(torch.equal(before[name], kept[name]) for name in kept)


def test_where_there_is_no_host_and_no_lesion_nothing_changes():
    patch = organ((40, 48))
    for changes in ({"hosts": [5]}, {"erase": 1.0}, {"probability": 0.0}):
        after = apply(patch, **changes)
        assert all(torch.equal(after[name], patch[name]) for name in patch)
    everywhere = {**patch, "truth": torch.full_like(patch["truth"], 2)}
    assert torch.equal(apply(everywhere, erase=1.0)["image"], patch["image"])


def test_half_of_the_patches_lose_their_lesions_where_that_is_asked_for():
    ill = apply(organ((40, 48)), 3)
    (transform,) = make_all([ENTRY | {"erase": 0.5}], (0, 1, 2))
    transform.set_random_state(0)
    left = [bool((transform(ill)["truth"][0] == 2).any()) for _ in range(60)]
    assert 18 < sum(left) < 42


@pytest.mark.parametrize("erased", [0.0, 1.0])
def test_classes_are_given_by_their_ids_and_patches_hold_their_indices(erased):
    usual = apply(organ((40, 48)), contrast=[0.3, 0.3])
    expected = apply(usual, erase=erased)
    by_id = apply(usual, erase=erased, classes=(0, 4, 9), lesion=9, hosts=[4])
    assert torch.equal(by_id["truth"], expected["truth"])
    assert torch.equal(by_id["image"], expected["image"])


@pytest.mark.parametrize(("name", "wrong"), [("lesion", 3), ("hosts", [1, 3]), ("lesion", 0)])
def test_ids_that_are_no_class_are_refused(name, wrong):
    classes, hosts = ((0, 1, 2), [1]) if wrong else ((1, 2, 4), [2])
    changes = {"hosts": hosts, name: wrong or 1}  # 1 is the background of the latter
    with pytest.raises(ValueError, match=rf"{name}: expected ids among .*segmentation.label_names"):
        apply(organ((40, 48)), classes=classes, **changes)


def striped(erased):
    """A bright lesion through all slices, of which every other one is unlabelled."""
    rows, columns = np.indices((40, 40)) - 20
    shown = np.broadcast_to(rows**2 + columns**2 < 36, (9, 40, 40))
    noise = np.random.default_rng(0).normal(0, 0.02, shown.shape)
    image = np.where(shown & erased, 0.7, 0.3) + noise
    truth = np.stack([shown & erased, np.ones(shown.shape)])
    truth[:, 1::2] = 0
    arrays = {"image": image[None], "truth": truth}
    return {name: torch.from_numpy(one.astype(np.float32)) for name, one in arrays.items()}


def test_unlabelled_voxels_are_no_host():
    ids = {"classes": (0, 1), "lesion": 1, "hosts": [0]}
    ill = striped(True)
    lesion_voxels = ill["truth"][0] == 1
    healed = apply(ill, erase=1.0, **ids)
    assert float(healed["image"][0][lesion_voxels].mean()) == pytest.approx(0.3, abs=0.02)
    for seed in range(5):
        made = apply(striped(False), seed, thickness=1.0, **ids)["truth"]
        assert (made[1][made[0] == 1] > 0).all()


@pytest.mark.parametrize("wrong", [{"radius": [6, 3]}, {"hosts": [1, 2]}, {"contrast": [1, 0]}])
def test_entries_that_cannot_be_meant_are_refused(wrong):
    entry = {name: value for name, value in (ENTRY | wrong).items() if name != "kind"}
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        lesion.Params(**entry)

"""Spline warp: it does not fold, the middle stays, image and label move together."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from slicefill.segmentation.transforms import make_all
from slicefill.segmentation.transforms.spline_warp import displace

SIZES = pytest.mark.parametrize("size", [(48, 48), (33, 48, 48)])
WIDEST = 10 / 48  # of the paper: 4 mm at 0.4 mm, in patches of 48


def warp(patch, seed=0, **changes):
    entry = {"kind": "spline_warp", "probability": 1.0, "displacement": [0.2, 0.2, 0.2]}
    (transform,) = make_all([entry | changes])
    transform.set_random_state(state=np.random.RandomState(seed))
    return transform(patch)


def make_patch(size, empty=False):
    """A ball in noise; the second channel of the image is the ball itself."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    ball = (sum(a**2 for a in axes) < 0.25) & (not empty)
    noise = np.random.default_rng(0).random(size)
    image = torch.from_numpy(np.stack([noise, ball]).astype(np.float32))
    truth = torch.from_numpy(np.stack([ball * 2, np.ones(size)]).astype(np.float32))
    return {"image": image, "truth": truth}


def jacobian(moved):
    axes = len(moved)
    steps = [[np.gradient(moved[i], axis=j) + (i == j) for j in range(axes)] for i in range(axes)]
    return np.linalg.det(np.moveaxis(np.array(steps), (0, 1), (-2, -1)))


@SIZES
def test_the_warp_does_not_fold(size):
    """The Jacobian determinant is positive in at least 99.5 % of the voxels, over 20 draws."""
    random = np.random.RandomState(0)
    positive = [
        (jacobian(displace(size, (WIDEST,) * len(size), random)) > 0).mean() for _ in range(20)
    ]
    assert np.mean(positive) >= 0.995


def test_twice_as_wide_would_fold():
    random = np.random.RandomState(0)
    positive = [(jacobian(displace((48, 48), (0.5, 0.5), random)) > 0).mean() for _ in range(20)]
    assert np.mean(positive) < 0.995


@SIZES
def test_nodes_move_at_most_so_far_and_the_middle_stays(size):
    odd = tuple(n + 1 - n % 2 for n in size)
    moved = displace(odd, (0.2,) * len(odd), np.random.RandomState(1))
    nodes = moved[(slice(None), *(slice(None, None, n // 2) for n in odd))]
    assert np.abs(nodes / np.array(odd).reshape(-1, *[1] * len(odd))).max() <= 0.2 + 1e-9
    assert np.allclose(nodes[(slice(None), *[1] * len(odd))], 0, atol=1e-9)
    assert np.abs(nodes).max() > 2


@SIZES
def test_image_and_label_move_together(size):
    patch = make_patch(size)
    moved = warp(patch)
    assert not torch.equal(moved["truth"], patch["truth"])
    mask, ball = moved["image"][1], moved["truth"][0] > 0
    clear = (mask < 0.01) | (mask > 0.99)  # elsewhere the mask was interpolated
    assert clear.float().mean() > 0.8
    inside = moved["truth"][1] > 0
    assert torch.equal((mask > 0.5)[clear & inside], ball[clear & inside])


@SIZES
def test_the_image_is_read_where_the_displacement_says(size):
    patch, largest = make_patch(size), (0.1,) * len(size)
    state = np.random.RandomState(3)
    state.uniform()  # the draw of whether it is warped
    places = np.indices(size) + displace(size, largest, state)
    image = patch["image"][0].numpy()
    expected = map_coordinates(image, places, order=1, mode="nearest")
    found = warp(patch, 3, displacement=[0.1, 0.1, 0.1])["image"][0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_slices_stay_apart_where_nothing_moves_across_them():
    patch = make_patch((5, 48, 48))
    patch["image"][0] = torch.arange(5.0)[:, None, None]
    moved = warp(patch, displacement=[0, 0.2, 0.2])
    torch.testing.assert_close(moved["image"][0], patch["image"][0], atol=1e-4, rtol=0)


def test_patches_without_an_object_stay():
    patch = make_patch((48, 48), empty=True)
    assert torch.equal(warp(patch)["image"], patch["image"])
    assert not torch.equal(warp(patch, objects_only=False)["image"], patch["image"])


def test_the_seed_decides():
    patch = make_patch((48, 48))
    assert torch.equal(warp(patch, 4)["image"], warp(patch, 4)["image"])
    assert not torch.equal(warp(patch, 4)["image"], warp(patch, 5)["image"])

"""Labels that follow the motion of the image only where it explains the acquired ones."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from slicefill.interpolation.classical import CLASSICAL
from slicefill.synthesis.label_motion import labels_follow, mean_dice, without_motion
from slicefill.synthesis.labels import label_fields, vote
from slicefill.synthesis.model import Motion
from slicefill.types import Filling, Stack

ROWS, COLUMNS = np.ogrid[:24, :40]


def disc(column, radius=4):
    return (np.hypot(ROWS - 12, COLUMNS - column) < radius).astype(np.uint8)


def stack_of(columns):
    label = np.stack([disc(column) for column in columns])
    return Stack(label[:, None].astype(np.float32), np.array([[0.0, 1.0]]), label)


def moving(stack):
    """Fill as the true motion of `columns` would."""
    middle = [np.argwhere(one).mean(0)[1] for one in stack.label]
    made = np.stack([disc((a + b) / 2) for a, b in pairwise(middle)])[:, None]
    return Filling(made[:, :, None].astype(np.float32), made * 1.0, made)


@pytest.mark.parametrize("slices", [3, 4, 7])
def test_labels_that_move_are_followed(slices):
    assert labels_follow(moving, stack_of([8 + 3 * k for k in range(slices)]))


def test_labels_that_motion_misplaces_are_not():
    def wrong(stack):
        filled = moving(stack)
        return Filling(filled.image, filled.trust, np.roll(filled.label, 3, axis=-1))

    assert not labels_follow(wrong, stack_of([8 + k for k in range(5)]))


def test_equal_labels_stay_by_shape():
    still = stack_of([10, 10, 10])
    assert not labels_follow(by_shape, still)


def by_shape(stack):
    return CLASSICAL["shape_based"](stack, [0.5])


def test_of_two_slices_none_can_be_left_out():
    assert not labels_follow(moving, stack_of([8, 12]))


def test_dice_of_nothing_is_zero():
    assert mean_dice(None, np.ones(3)) == 0
    assert mean_dice(np.zeros(3), np.zeros(3)) == 0


def test_without_motion_labels_are_interpolated_by_shape():
    first, last = (torch.from_numpy(disc(column, 6))[None] for column in (10, 14))
    far = torch.full((1, 2, 24, 40), 7.0)
    motion = without_motion(Motion(far, -far, torch.tensor(0.9), moved=far[:, :1] * 0 + 1), 0.25)
    found = vote(motion, label_fields(first, last, "signed_distance"), 0.25)[0].numpy()
    label = torch.cat([first, last]).numpy()
    expected = CLASSICAL["shape_based"](
        Stack(label[:, None].astype(np.float32), np.array([[0.0, 1.0]]), label), [0.25]
    )
    assert (found != expected.label[0, 0]).mean() < 0.01  # ties alone


def test_a_background_that_yields_keeps_volume():
    """Blended distances of two discs side by side shrink what lies between."""
    first, last = (torch.from_numpy(disc(column, 6))[None] for column in (15, 22))
    still = Motion(*torch.zeros(2, 1, 2, 24, 40), torch.tensor(0.5))
    areas = [
        int(vote(still, label_fields(first, last, kind), 0.5).sum())
        for kind in ("signed_distance", "adaptive")
    ]
    assert areas[0] < areas[1] <= first.sum()

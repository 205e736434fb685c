"""Labels imputed in a box around objects are those of whole slices, to the voxel."""

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.slice_imputation.label_boxes import BoxedLabels
from slicefill.imputation.methods.slice_imputation.labels import LabelRule, Labels
from slicefill.imputation.methods.slice_imputation.motion import Motion
from slicefill.params import CautionParams

SIZE = (120, 150)
RULE = LabelRule("signed_distance", CautionParams())
BETWEEN = slice(1, 2)  # the interval in the middle of four slices


def objects(seed, shift=0):
    """Two labels that move, grow and touch, one of them absent from the last slices."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    ids = np.zeros((4, *SIZE), np.uint8)
    for k in range(4):
        row, column = 50 + shift + rng.normal(0, 3, 2) + k
        ids[k][(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(4, 12) ** 2] = 1
        if k < 2:
            ids[k][(rows - row) ** 2 + (columns - column - 9) ** 2 < 25] = 7
    return ids


def moving(seed, weight=0.6):
    torch.manual_seed(seed)
    flow = torch.nn.functional.interpolate(torch.randn(2, 2, 6, 6) * 5, SIZE, mode="bicubic")
    first, moved = torch.full((1, 1, *SIZE), 0.4), torch.full((1, 1, *SIZE), weight)
    return Motion(flow[:1], flow[1:], first, moved=moved, t=torch.tensor(0.6))


def impute(ids, motion, rule, t=0.6, far=False):
    """In a box and on whole slices: the ids, and the box."""
    shown = torch.rand(4, 1, *SIZE, generator=torch.Generator().manual_seed(1))
    sides, made = (shown[1:2], shown[2:3]), (shown[1:2] + shown[2:3]) / 2
    areas = {label: area[BETWEEN, 0] for label, area in rule.areas(ids, [t]).items()}
    boxed = BoxedLabels.around(BETWEEN, ids, sides, rule, far)
    box, found = boxed.impute(motion.inside, lambda box: box.cut(made), t, areas)
    labels = Labels.around(BETWEEN, torch.from_numpy(ids.astype(np.int64)), sides, rule)
    return box.paste(found), labels.impute(motion, made, t, areas), box


def is_whole(box):
    return (box.top, box.bottom, box.left, box.right) == (0, SIZE[0], 0, SIZE[1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("shift", [0, -45])
def test_a_box_gives_the_labels_of_whole_slices(seed, share, shift):
    found, expected, box = impute(objects(seed, shift), moving(seed), RULE.within(share))
    assert not is_whole(box)
    assert expected.any()
    assert torch.equal(found, expected)


def test_what_may_move_anywhere_is_not_boxed():
    for rule, far in ((RULE, True), (LabelRule("one_hot"), False)):
        found, expected, box = impute(objects(0), moving(0), rule, far=far)
        assert is_whole(box)
        assert torch.equal(found, expected)


def test_an_object_that_reaches_the_edge_of_its_box_is_imputed_on_whole_slices():
    """Flows of 60 pixels that are believed: the object is imputed beyond its box."""
    ids = objects(0)
    far = Motion(*torch.full((2, 1, 2, *SIZE), -30.0), torch.full((1, 1, *SIZE), 0.5))
    found, expected, box = impute(ids, far, RULE)
    assert is_whole(box)
    assert torch.equal(found, expected)


def test_without_an_object_all_is_background():
    found, expected, _ = impute(np.zeros((4, *SIZE), np.uint8), moving(0), RULE)
    assert not found.any()
    assert not expected.any()

"""Loss: known values, references, weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss

from slicefill.segmentation.objectives import deep_supervised, dice_ce


@pytest.fixture
def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=[(2, 3, 9, 7), (2, 4, 3, 5, 6)], ids=["2d", "3d"])
def sample(request, seeded):
    """Random logits, labels and weights in [0, 1]."""
    size = (request.param[0], 1, *request.param[2:])
    logits = torch.randn(request.param, generator=seeded)
    label = torch.randint(request.param[1], size, generator=seeded)
    return logits, label, torch.rand(size, generator=seeded)


def test_value_by_hand():
    logits = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]]])  # p_1 = 1/2, 3/4
    label, weight = torch.tensor([[[1, 0]]]), torch.tensor([[[1.0, 0.5]]])
    dice = 2 * 0.5 / (0.5 + 0.5 * 0.75 + 1)
    cross_entropy = (math.log(2) + 0.5 * math.log(4)) / 1.5
    expected = 1 - dice + cross_entropy
    assert dice_ce(logits, label, weight).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_equal_weights_give_the_loss_of_monai(sample, scale):
    logits, label, weight = sample
    reference = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    loss = dice_ce(logits, label, torch.full_like(weight, scale))
    torch.testing.assert_close(loss, reference(logits, label), rtol=1e-5, atol=1e-5)


def test_a_weight_counts_as_copies_of_the_voxel(sample, seeded):
    logits, label, _ = sample
    logits, label = logits.flatten(2)[:1], label.flatten(2)[:1]
    copies = torch.randint(4, label.shape[2:], generator=seeded)
    repeated = dice_ce(
        logits.repeat_interleave(copies, 2),
        label.repeat_interleave(copies, 2),
        torch.ones(1, 1, int(copies.sum())),
    )
    torch.testing.assert_close(dice_ce(logits, label, copies.float()[None, None]), repeated)


def test_voxels_of_weight_0_give_neither_loss_nor_gradient(sample):
    logits, label, weight = sample
    weight[..., 3:] = 0
    logits.requires_grad_()
    loss = dice_ce(logits, label, weight)
    loss.backward()
    assert not logits.grad[..., 3:].any()
    assert logits.grad[..., :3].any()
    inside = dice_ce(logits[..., :3], label[..., :3], weight[..., :3])
    torch.testing.assert_close(loss, inside)


def test_no_weight_at_all_gives_0_and_no_gradient(sample):
    logits, label, weight = sample
    logits.requires_grad_()
    loss = dice_ce(logits, label, torch.zeros_like(weight))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_much(sample):
    logits, label, weight = sample
    one_hot = F.one_hot(label[:, 0], logits.shape[1]).movedim(-1, 1).float()
    assert dice_ce(50 * one_hot, label, weight).item() == pytest.approx(0, abs=1e-5)
    assert dice_ce(-50 * one_hot, label, weight).item() > 50


def test_an_absent_class_counts_as_perfect_when_it_is_not_predicted():
    logits = torch.tensor([[[50.0, 0.0], [0.0, 50.0], [0.0, 0.0]]])
    loss = dice_ce(logits, torch.tensor([[[0, 1]]]), torch.ones(1, 1, 2))
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_low_precision_logits_give_a_float32_loss(sample):
    logits, label, weight = sample
    coarse = (1e4 * logits).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = dice_ce(coarse, label, weight.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    torch.testing.assert_close(loss, dice_ce(coarse.float(), label, weight.bfloat16().float()))


def test_a_network_under_autocast_gets_finite_gradients(seeded):
    layer = torch.nn.Conv2d(1, 3, 1)
    x = 1e3 * torch.rand(2, 1, 8, 8, generator=seeded)
    label = torch.randint(3, x.shape, generator=seeded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(x)
        loss = dice_ce(logits, label, torch.ones_like(x))
    loss.backward()
    assert logits.dtype == torch.bfloat16
    assert all(weight.grad.isfinite().all() for weight in layer.parameters())


def test_gradient_is_that_of_the_formula(seeded):
    logits = torch.randn(2, 3, 2, 3, dtype=torch.double, generator=seeded, requires_grad=True)
    label = torch.randint(3, (2, 1, 2, 3), generator=seeded)
    weight = torch.rand(2, 1, 2, 3, dtype=torch.double, generator=seeded)
    assert torch.autograd.gradcheck(lambda x: dice_ce(x, label, weight), logits)


def test_deep_supervision_halves_the_share_from_head_to_head(sample):
    logits, label, weight = sample
    heads = torch.stack([logits, 2 * logits, -logits], dim=1)
    first, second, third = (dice_ce(head, label, weight) for head in heads.unbind(1))
    expected = (4 * first + 2 * second + third) / 7
    torch.testing.assert_close(deep_supervised(heads, label, weight), expected)


def test_without_heads_deep_supervision_is_the_plain_loss(sample):
    logits, label, weight = sample
    assert torch.equal(deep_supervised(logits, label, weight), dice_ce(logits, label, weight))

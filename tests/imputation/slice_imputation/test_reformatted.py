"""Training on thick slices as they are: the fine stack, its planes, what holds it to the scan."""

from dataclasses import replace

import pytest
import torch

from slicefill.imputation.methods.slice_imputation import reformatted_critic
from slicefill.imputation.methods.slice_imputation.losses import near_upsampled
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.synthesis import GroupBatch, synthesise

KIND = reformatted_critic.KIND


@pytest.fixture
def made(params, seeded):
    """Three groups of five slices: acquired ones 4 apart, in-plane ones, acquired ones."""
    given = params(variant="refined")
    torch.manual_seed(0)
    network = SynthesisModel(1, given.network, given.parts)
    slices = torch.rand(3, 5, 1, 24, 24, generator=seeded)
    batch = GroupBatch(slices, torch.zeros(3, 3), steps=torch.tensor([4, 1, 4]))
    return synthesise(network, batch)


def stirred(made):
    torch.nn.init.normal_(made.network.refinement.out.weight, std=0.5)
    return replace(made)  # what is kept of the network before is forgotten


def test_acquired_slices_are_part_of_the_fine_stack_to_the_bit(made):
    fine = stirred(made).fine
    assert fine.shape == (2, 17, 1, 24, 24)
    assert torch.equal(fine[:, ::4], made.batch.slices[[0, 2]])
    assert (fine[:, 1::4] != made.batch.slices[[0, 2], :-1]).any()


def test_an_untrained_network_is_the_up_sampled_scan(made):
    assert near_upsampled(made).item() == pytest.approx(0, abs=1e-6)
    fine = made.fine
    expected = torch.lerp(fine[:, 4], fine[:, 8], torch.tensor(0.25))
    torch.testing.assert_close(fine[:, 5], expected)


def test_leaving_the_up_sampled_scan_costs_the_mean_difference(made):
    moved = stirred(made)
    expected = []
    for stack in moved.fine:
        for k in range(16):
            if k % 4:
                low, high = stack[k - k % 4], stack[k - k % 4 + 4]
                expected.append((stack[k] - torch.lerp(low, high, k % 4 / 4)).abs().mean())
    assert near_upsampled(moved).item() == pytest.approx(torch.stack(expected).mean().item())
    near_upsampled(moved).backward()
    assert made.network.refinement.out.weight.grad.any()


def test_planes_run_across_the_stack_and_pieces_lie_in_acquired_slices(made):
    planes, pieces = KIND.synthetic(made), KIND.real(made)
    assert planes.shape[1:] == pieces.shape[1:] == (1, 17, 24)
    assert torch.equal(planes[0, 0], made.fine[0, :, 0, 4])  # the first plane: row 4
    assert torch.equal(planes[len(planes) // 2, 0], made.fine[0, :, 0, :, 4])  # and column 4
    assert torch.equal(pieces[0, 0], made.batch.slices[0, 0, 0, :17])
    assert torch.equal(pieces[len(pieces) // 2, 0], made.batch.slices[0, 0, 0, :, :17].T)


@pytest.mark.parametrize("steps", [None, torch.ones(3, dtype=torch.int64)])
def test_groups_with_a_truth_are_not_judged(made, steps):
    paired = replace(made, batch=replace(made.batch, steps=steps))
    assert paired.fine is None
    assert near_upsampled(paired) is None
    assert KIND.real(paired) is None
    assert KIND.synthetic(paired) is None

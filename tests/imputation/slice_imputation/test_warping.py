"""Backward warping and the intermediate flows: eq. (1) to (3)."""

import pytest
import torch
from scipy.ndimage import map_coordinates

from slicefill.imputation.methods.slice_imputation.motion import Motion, intermediate_flows, warp


def uniform(seeded, *shape, scale=1.0):
    return torch.rand(shape, generator=seeded) * scale


def constant(rows, columns, shape=(1, 2, 8, 9)):
    return torch.tensor([rows, columns]).view(1, 2, 1, 1).expand(shape).contiguous()


@pytest.mark.parametrize("size", [(2, 2), (3, 7), (16, 16), (240, 240), (511, 509), (512, 512)])
def test_zero_flow_is_the_identity_to_the_bit(size, seeded):
    image = uniform(seeded, 2, 3, *size) * 4000 - 1000
    assert torch.equal(warp(image, torch.zeros(2, 2, *size)), image)


def test_warp_agrees_with_scipy(seeded):
    image = uniform(seeded, 2, 3, 13, 17)
    flow = uniform(seeded, 2, 2, 13, 17, scale=12) - 6  # well beyond the border too
    warped = warp(image, flow)
    grid = torch.stack(torch.meshgrid(torch.arange(13), torch.arange(17), indexing="ij"))
    for b in range(2):
        for c in range(3):
            where = (grid + flow[b]).numpy()
            expected = map_coordinates(image[b, c].numpy(), where, order=1, mode="nearest")
            assert torch.allclose(warped[b, c], torch.from_numpy(expected), atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 2), (-2, 1), (3, -3)])
def test_integer_flow_shifts_to_the_bit_and_clamps(rows, columns, seeded):
    image = uniform(seeded, 1, 1, 8, 9)
    row = (torch.arange(8) + rows).clamp(0, 7)
    column = (torch.arange(9) + columns).clamp(0, 8)
    expected = image[:, :, row][..., column]
    assert torch.equal(warp(image, constant(float(rows), float(columns))), expected)


def test_warped_numbers_stay_between_those_of_the_image(seeded):
    image = uniform(seeded, 1, 1, 9, 9)
    warped = warp(image, uniform(seeded, 1, 2, 9, 9, scale=20) - 10)
    assert image.min() <= warped.min()
    assert warped.max() <= image.max()


def test_warp_has_the_right_gradients(seeded):
    image = uniform(seeded, 1, 2, 4, 5).double().requires_grad_()
    whole = torch.randint(-2, 3, (1, 2, 4, 5), generator=seeded)
    # fractions away from the kinks at whole pixels, and from the border
    flow = (whole + 0.2 + uniform(seeded, 1, 2, 4, 5, scale=0.6)).double().requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, flow))


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_constant_motion_is_recovered_exactly(t):
    forward = constant(4.0, -8.0)
    to_first, to_last = intermediate_flows(forward, -forward, torch.tensor(t))
    assert torch.equal(to_first, -t * forward)
    assert torch.equal(to_last, (1 - t) * forward)


@pytest.mark.parametrize(("t", "printed"), [(0.25, -1.75), (0.5, -3.0), (0.75, -3.75)])
def test_the_printed_form_misses_constant_motion(t, printed):
    forward = constant(4.0, 4.0)
    to_first, to_last = intermediate_flows(forward, -forward, torch.tensor(t), "printed")
    assert torch.equal(to_first, torch.full_like(forward, printed))  # and not -4 t
    assert torch.equal(to_last, (1 - t) * forward)  # eq. (2) is printed right


def test_flows_meet_the_inputs_at_the_ends(seeded):
    forward, backward = uniform(seeded, 2, 1, 2, 3, 3)
    at_first = intermediate_flows(forward, backward, torch.tensor(0.0))
    at_last = intermediate_flows(forward, backward, torch.tensor(1.0))
    assert at_first[0].abs().max() == 0
    assert torch.equal(at_first[1], forward)
    assert torch.equal(at_last[0], backward)
    assert at_last[1].abs().max() == 0


def flip_columns(x, is_flow):
    x = x.flip(3)
    return torch.stack([x[:, 0], -x[:, 1]], 1) if is_flow else x


def flip_rows(x, is_flow):
    x = x.flip(2)
    return torch.stack([-x[:, 0], x[:, 1]], 1) if is_flow else x


def transpose(x, is_flow):
    x = x.transpose(2, 3)
    return x.flip(1) if is_flow else x


@pytest.mark.parametrize("turn", [flip_columns, flip_rows, transpose])
def test_synthesis_turns_with_its_inputs(turn, seeded):
    first, last = uniform(seeded, 2, 1, 1, 7, 10)
    forward, backward = uniform(seeded, 2, 1, 2, 7, 10, scale=6) - 3
    t = torch.tensor(1 / 3)

    def synthesise(first, last, forward, backward):
        return Motion(*intermediate_flows(forward, backward, t), 1 - t).blend(first, last)

    turned = synthesise(
        turn(first, False), turn(last, False), turn(forward, True), turn(backward, True)
    )
    expected = turn(synthesise(first, last, forward, backward), False)
    assert torch.allclose(turned, expected, atol=1e-5)


def test_synthesis_of_the_reversed_pair_at_the_mirrored_position_is_the_same(seeded):
    first, last = uniform(seeded, 2, 1, 1, 7, 10)
    forward, backward = uniform(seeded, 2, 1, 2, 7, 10, scale=6) - 3
    t = torch.tensor(0.25)
    there = Motion(*intermediate_flows(forward, backward, t), 1 - t).blend(first, last)
    back = Motion(*intermediate_flows(backward, forward, 1 - t), t).blend(last, first)
    assert torch.allclose(there, back, atol=1e-6)

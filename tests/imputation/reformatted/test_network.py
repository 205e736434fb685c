"""What holds for the network whatever its weights are."""

import pytest
import torch
from pydantic import ValidationError

from slicefill.imputation.methods.reformatted.network import PlaneNetwork
from slicefill.imputation.methods.reformatted.params import PlaneNetworkParams

PLANES = torch.rand(3, 3, 6, 29, generator=torch.Generator().manual_seed(0))


def made(network, planes, positions=(0.25, 0.5)):
    with torch.no_grad():
        return network(planes, positions)


def test_a_row_between_all_neighbours_for_every_position(network):
    assert made(network, PLANES).shape == (3, 5, 2, 29)


def test_contrast_and_brightness_do_not_matter(network):
    torch.testing.assert_close(
        made(network, 7 * PLANES - 3), 7 * made(network, PLANES) - 3, atol=1e-4, rtol=1e-4
    )


def test_acquired_rows_are_the_limit_of_what_lies_between(network):
    first = made(network, PLANES, [1e-6])[:, :, 0]
    torch.testing.assert_close(first, PLANES[:, 1, :-1], atol=1e-4, rtol=0)


def test_nothing_is_added_where_nothing_changes(network):
    flat = torch.full((1, 3, 6, 29), 0.7)
    torch.testing.assert_close(made(network, flat), torch.full((1, 5, 2, 29), 0.7))


def test_only_rows_within_reach_take_part(network):
    """Four rows are seen: a change of row 0 reaches intervals 0 and 1."""
    changed = PLANES.clone()
    changed[:, 1, 0] += 1
    differs = (made(network, PLANES) - made(network, changed)).abs().amax((0, 2, 3)) > 1e-6
    assert differs.tolist() == [True, True, False, False, False]


def test_planes_beside_take_part_within_the_same_reach(network):
    changed = PLANES.clone()
    changed[:, 2, 0] += PLANES[:, 0, 0]
    differs = (made(network, PLANES) - made(network, changed)).abs().amax((0, 2, 3)) > 1e-6
    assert differs.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("width", [1, 2, 3, 31])
def test_planes_of_any_width(network, width):
    assert made(network, PLANES[..., :1].expand(3, 3, 6, width)).shape == (3, 5, 2, width)


def test_two_acquired_rows_are_enough(network):
    assert made(network, PLANES[:, :, :2]).shape == (3, 1, 2, 29)


def test_a_kernel_needs_a_middle():
    with pytest.raises(ValidationError, match="odd number of pixels, got 4"):
        PlaneNetworkParams(slices=4, beside=0, widths=(8,), kernel=4, head=4)


def test_the_network_can_be_of_one_level():
    flat = PlaneNetwork(PlaneNetworkParams(slices=2, beside=0, widths=(8,), kernel=3, head=4))
    assert made(flat, PLANES[:, :1]).shape == (3, 5, 2, 29)

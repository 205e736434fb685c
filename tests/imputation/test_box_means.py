"""Means over squares around every pixel, against SciPy's and against sums one reckons."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from slicefill.imputation.box_means import mean_inside, mean_repeated

MAPS = torch.rand(2, 3, 11, 14, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [1, 3, 7, 31])  # the last is wider than a map
def test_edges_are_repeated(size):
    expected = uniform_filter(MAPS.double().numpy(), (0, 0, size, size), mode="nearest")
    np.testing.assert_allclose(mean_repeated(MAPS, size), expected, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 1), (4, 2), (5, 7)])
def test_the_part_inside_is_averaged(rows, columns):
    found = mean_inside(MAPS, rows, columns)
    for row, column in ((0, 0), (5, 6), (10, 13)):
        inside = (
            slice(max(row - rows, 0), row + rows + 1),
            slice(max(column - columns, 0), column + columns + 1),
        )
        expected = MAPS[..., inside[0], inside[1]].mean((-2, -1))
        np.testing.assert_allclose(found[..., row, column], expected, atol=1e-6)


def test_a_view_of_part_of_a_map_is_filtered_as_a_copy_of_it():
    view = MAPS[..., 2:9, 3:12]
    assert torch.equal(mean_inside(view, 1, 2), mean_inside(view.clone(), 1, 2))
    assert torch.equal(mean_repeated(view, 3), mean_repeated(view.clone(), 3))

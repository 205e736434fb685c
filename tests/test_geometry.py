from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicefill.geometry import (
    adaptive_count,
    anisotropy,
    nearest_count,
    slices_back,
    slices_first,
    spacing_count,
    step_map,
    through_plane_axis,
)

ORIENTATIONS = list(product(permutations(range(3)), product([1, -1], repeat=3)))


def oriented(order, signs, pitch=(1.0, 1.0, 4.0)):
    """Affine whose array axis k runs along world axis order[k] with the pitch of that axis."""
    matrix = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[world, axis] = sign * pitch[world]
    return nib.affines.from_matvec(matrix, [5.0, -6.0, 7.0])


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_axis_is_found_by_spacing_and_by_name_in_all_48_orientations(order, signs):
    affine = oriented(order, signs)
    assert through_plane_axis(affine, "auto") == order.index(2)
    for name, world in (("L", 0), ("A", 1), ("S", 2)):
        assert through_plane_axis(affine, name) == order.index(world)


def test_axis_of_an_oblique_scan_follows_its_slices():
    # Tilted by 30 degrees about the first axis: the slices still lie nearest to S.
    tilt = nib.eulerangles.euler2mat(x=np.deg2rad(30))
    affine = nib.affines.from_matvec(tilt @ np.diag([0.5, 0.5, 6.0]))
    assert through_plane_axis(affine, "auto") == 2
    assert through_plane_axis(affine, "S") == 2
    # Tilted by 60 degrees, they lie nearest to A.
    tilt = nib.eulerangles.euler2mat(x=np.deg2rad(60))
    affine = nib.affines.from_matvec(tilt @ np.diag([0.5, 0.5, 6.0]))
    assert through_plane_axis(affine, "auto") == 2
    assert through_plane_axis(affine, "A") == 2
    assert through_plane_axis(affine, "S") == 1


def test_of_equal_spacings_the_last_axis_is_taken_despite_rounding():
    assert through_plane_axis(np.diag([1.0, 1.0, 1.0, 1.0]), "auto") == 2
    assert through_plane_axis(np.diag([1.000001, 1.0, 0.999999, 1.0]), "auto") == 2
    assert through_plane_axis(np.diag([3.0, 3.0, 1.0, 1.0]), "auto") == 1


def test_anisotropy_is_slice_spacing_over_the_mean_in_plane_pitch():
    assert anisotropy(np.array([5.0, 0.5, 1.5]), axis=0) == 5.0


@pytest.mark.parametrize(
    ("slice_spacing", "pitch", "count"),
    [
        (4.0, 0.5, 7),
        (4.0, 0.6, 5),  # 6.67: as the paper floors it
        (0.6, 0.2, 2),  # 2.9999999999999996 in floating point
        (np.float32(3.3), np.float32(1.1), 2),
        (7.499999137921721, 0.4999999993270825, 14),  # 7.5 and 0.5 mm out of a float32 header
        (1.99, 1.0, 0),
        (1.0, 1.0, 0),
        (0.5, 1.0, 0),
    ],
)
def test_adaptive_count_floors_the_ratio_and_never_goes_below_zero(slice_spacing, pitch, count):
    assert adaptive_count(np.array([slice_spacing, pitch, pitch]), axis=0) == count


@given(st.floats(0.1, 20), st.floats(0.1, 5))
def test_no_other_count_comes_nearer_to_the_target_in_steps(slice_spacing, target):
    count = spacing_count(slice_spacing, target)
    steps = slice_spacing / target
    assert count >= 0
    if steps >= 1:
        assert abs(count + 1 - steps) <= 0.5


@given(st.floats(0.2, 40), st.floats(0.2, 4), st.floats(0.2, 4))
def test_no_other_count_brings_the_grid_nearer_to_isotropic(across, rows, columns):
    spacing = np.array([across, rows, columns])
    ratio = across / ((rows + columns) / 2)

    def distance(count):
        return abs(np.log(ratio / (count + 1)))

    count = nearest_count(spacing, axis=0)
    others = [distance(other) for other in (count - 1, count + 1) if other >= 0]
    assert distance(count) <= min(others) + 1e-5


@pytest.mark.parametrize(
    ("across", "count"), [(3.3, 2), (1.125, 0), (1.5, 0), (1.6, 1), (0.3, 0), (5.6, 4), (5.1, 4)]
)
def test_nearest_count_by_hand_at_pixels_of_1_125_mm(across, count):
    # √2 × 1.125 = 1.59 and √20 × 1.125 = 5.03 lie between one and two, four and five steps
    assert nearest_count(np.array([1.125, 1.125, across]), axis=2) == count


@pytest.mark.parametrize(
    ("slice_spacing", "target", "count"), [(5.0, 1.0, 4), (5.0, 0.8, 5), (3.0, 3.0, 0), (1, 9, 0)]
)
def test_spacing_count_by_hand(slice_spacing, target, count):
    assert spacing_count(slice_spacing, target) == count


def test_step_map_sends_index_2_of_a_grid_of_step_3_to_index_6():
    np.testing.assert_array_equal(step_map(1, 3) @ [5, 2, 7, 1], [5, 6, 7, 1])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5)])
def test_slices_first_is_a_view_that_slices_back_undoes(axis, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    first = slices_first(array, axis)
    assert np.shares_memory(first, array)
    np.testing.assert_array_equal(first[1], np.take(array, 1, axis=axis))
    np.testing.assert_array_equal(slices_back(first, axis), array)

import nibabel as nib
import numpy as np
import pytest

from slicefill.geometry import step_map
from slicefill.types import Stack, Volume


def volume(stored, affine, *, endianness="<", sform=1, qform=1):
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_qform(affine, qform)
    header.set_sform(affine, sform)
    return Volume(stored, header)


OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.4) @ np.diag([0.7, -0.8, 3.0]), [-40.0, 25.0, 7.0]
)


def test_intensities_are_slope_times_stored_plus_intercept():
    scan = volume(np.array([[[0, 1, 2]]], dtype=np.int16), np.eye(4))
    scan.header.set_slope_inter(0.5, -3)
    np.testing.assert_array_equal(scan.intensities(), [[[-3.0, -2.5, -2.0]]])


def test_an_unset_scale_leaves_the_stored_numbers():
    scan = volume(np.array([[[7]]], dtype=np.int16), np.eye(4))
    assert scan.slope_intercept == (1.0, 0.0)
    assert scan.intensities().item() == 7.0


def test_spacing_of_an_oblique_scan_is_the_pitch_and_not_the_diagonal():
    scan = volume(np.zeros((2, 2, 2), np.int16), OBLIQUE)
    np.testing.assert_allclose(scan.spacing, [0.7, 0.8, 3.0], rtol=1e-6)


def test_with_stored_keeps_world_and_scale_and_takes_shape_and_dtype():
    scan = volume(np.zeros((4, 5, 6), np.int16), OBLIQUE)
    scan.header.set_slope_inter(2.0, 5.0)
    other = scan.with_stored(np.ones((4, 5, 6, 3), np.float32))
    assert other.header.get_data_shape() == (4, 5, 6, 3)
    assert other.header.get_data_dtype() == np.float32
    assert other.slope_intercept == (2.0, 5.0)
    np.testing.assert_array_equal(other.affine, scan.affine)


def test_with_stored_leaves_the_first_volume_as_it_was():
    scan = volume(np.zeros((4, 5, 6), np.int16), OBLIQUE)
    before = scan.header.binaryblock
    scan.with_stored(np.ones((4, 5, 12), np.float32), step_map(2, 0.5))
    assert scan.header.binaryblock == before


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_with_stored_moves_every_declared_affine_and_no_code(sform, qform, endianness):
    scan = volume(
        np.zeros((4, 5, 6), np.int16), OBLIQUE, endianness=endianness, sform=sform, qform=qform
    )
    finer = scan.with_stored(np.zeros((4, 5, 11), np.int16), step_map(2, 0.5))
    assert int(finer.header["sform_code"]) == sform
    assert int(finer.header["qform_code"]) == qform
    for form in (finer.header.get_sform, finer.header.get_qform):
        affine, code = form(coded=True)
        if code:
            # Index (1, 2, 8) of the finer grid is index (1, 2, 4) of the old one.
            np.testing.assert_allclose(
                nib.affines.apply_affine(affine, [1, 2, 8]),
                nib.affines.apply_affine(OBLIQUE, [1, 2, 4]),
                atol=1e-4,
            )
    np.testing.assert_allclose(finer.header.get_zooms()[:3], [0.7, 0.8, 1.5], rtol=1e-5)


def test_sform_and_qform_that_differ_both_keep_their_own_world():
    scan = volume(np.zeros((4, 5, 6), np.int16), OBLIQUE)
    shifted = OBLIQUE.copy()
    shifted[:3, 3] += 10
    scan.header.set_sform(shifted, 2)
    finer = scan.with_stored(np.zeros((4, 5, 11), np.int16), step_map(2, 0.5))
    difference = finer.header.get_sform()[:3, 3] - finer.header.get_qform()[:3, 3]
    np.testing.assert_allclose(difference, 10, atol=1e-4)


def test_normalised_maps_the_window_of_each_channel_to_0_and_1_and_clips():
    image = np.array([[[[0.0, 5.0, 10.0, 99.0]], [[-2.0, -1.0, 0.0, 1.0]]]], dtype=np.float32)
    stack = Stack(image, window=np.array([[0.0, 10.0], [-1.0, 1.0]]))
    expected = [[[[0.0, 0.5, 1.0, 1.0]], [[0.0, 0.0, 0.5, 1.0]]]]
    np.testing.assert_allclose(stack.normalised(), expected)
    assert stack.normalised().dtype == np.float32


def test_a_part_of_a_stack_has_its_labels_and_places():
    image = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    stack = Stack(image, np.array([[0.0, 1.0]]), image[:, 0].astype(int), apart=(1.0, 2.0))
    uneven = stack.placed([0, 1, 3, 6, 9])
    assert uneven.apart == (2.5, 5.0)  # the median of 1, 2, 3 and 3
    part = uneven.part(slice(1, 4))
    assert part.image.ravel().tolist() == part.label.ravel().tolist() == [1, 2, 3]
    assert part.at.tolist() == [1, 3, 6]
    even = stack.placed([2, 4, 6, 8, 10])
    assert even.at is None
    assert even.apart == (2.0, 4.0)
    assert even.part(slice(1, 4)).at is None

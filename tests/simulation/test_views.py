import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from slicefill.simulation.views import TRUTH, ViewsParams, rigid_matrix, simulate_views
from slicefill.types import Case, Volume

SMALL = {"slice_mm": 4.0, "field_mm": 48.0, "translation": 4.0}


def blobs(affine=None, shape=(40, 44, 36)):
    affine = np.eye(4) if affine is None else affine
    rng = np.random.default_rng(3)
    places = np.stack(np.indices(shape), -1)
    label = np.zeros(shape, np.uint8)
    for number in range(1, 5):
        centre, radius = rng.uniform(12, 26, 3), rng.uniform(5, 9)
        label[np.linalg.norm(places - centre, axis=-1) < radius] = number
    image = (100.0 * label + rng.uniform(0, 20, shape) * (label > 0)).astype(np.float32)
    volumes = [Volume(each, nib.Nifti1Image(each, affine).header) for each in (image, label)]
    return Case(*volumes)


def test_a_view_shows_the_nearest_voxels_of_the_truth_where_its_matrix_says():
    case = blobs(affine=np.diag([-1.0, 1, 1, 1]))
    for view in simulate_views(case, ViewsParams(**SMALL), 1).values():
        back = np.linalg.inv(view.record[TRUTH]) @ view.image.affine
        voxels = np.indices(view.label.stored.shape).reshape(3, -1).T
        world = nib.affines.apply_affine(back, voxels)
        index = np.rint(nib.affines.apply_affine(np.linalg.inv(case.image.affine), world)).T
        expected = map_coordinates(case.label.stored, index, order=0, cval=0)
        assert (expected > 0).any()
        np.testing.assert_array_equal(view.label.stored.ravel(), expected)


def test_slices_come_last_and_are_as_far_apart_as_asked_in_three_directions():
    views = simulate_views(blobs(), ViewsParams(**SMALL), 1)
    normals = {"axial": [0, 0, 1], "coronal": [0, 1, 0], "sagittal": [1, 0, 0]}
    for plane, view in views.items():
        np.testing.assert_allclose(view.image.spacing, [1, 1, 4])
        np.testing.assert_allclose(view.image.affine[:3, 2] / 4, normals[plane])
    by_factor = ViewsParams(**{**SMALL, "slice_mm": None}, factor=5.0)
    assert simulate_views(blobs(), by_factor, 1)["axial"].image.spacing[2] == 5


def test_matrices_are_rigid_the_reference_does_not_move_and_seeds_matter():
    one, two = (simulate_views(blobs(), ViewsParams(**SMALL), seed) for seed in (1, 2))
    np.testing.assert_array_equal(one["axial"].record[TRUTH], np.eye(4))
    for plane in ("coronal", "sagittal"):
        turn = np.array(one[plane].record[TRUTH])[:3, :3]
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1)
        assert one[plane].record[TRUTH] != two[plane].record[TRUTH]
    still = ViewsParams(**{**SMALL, "translation": 0.0}, rotation=0.0)
    for view in simulate_views(blobs(), still, 1).values():
        np.testing.assert_allclose(view.record[TRUTH], np.eye(4), atol=1e-12)


def test_a_rotation_leaves_its_centre_but_for_the_shift():
    matrix = rigid_matrix([30, -20, 10], [1, 2, 3], [4, 5, 6])
    np.testing.assert_allclose(matrix @ [4, 5, 6, 1], [5, 7, 9, 1])


def test_one_distance_of_slices():
    with pytest.raises(ValueError, match="one of slice_mm and factor"):
        ViewsParams(factor=4.0)
    with pytest.raises(ValueError, match="planes: expected each once"):
        ViewsParams(planes=("axial", "axial"))

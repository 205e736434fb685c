import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.grids.cubic import from_world, to_world
from slicefill.registration import displacement_error, register
from slicefill.simulation.views import TRUTH, ViewsParams, simulate_views
from slicefill.types import Case, Volume
from slicefill.views.alignment import align
from slicefill.views.similarity import correlation, correlation_ratio

POINTS = np.stack(np.meshgrid([10, 30], [10, 30], [10, 30]), -1).reshape(-1, 3)
FEW = {"kind": "rigid", "starts": [-25.0, 0.0, 25.0], "followed": 6, "keep": 2}


def bars():
    """Three bars of different length and brightness: no rotation maps them onto themselves."""
    image = np.zeros((44, 44, 44), np.float32)
    image[8:38, 12:18, 12:20], image[10:16, 12:36, 24:30], image[26:34, 26:34, 8:34] = 1, 2, 3
    image = gaussian_filter(image, 1.0)
    return Case(Volume(image, nib.Nifti1Image(image, np.eye(4)).header))


def views():
    params = ViewsParams(slice_mm=3.0, field_mm=60.0, translation=8.0, rotation=25.0)
    return simulate_views(bars(), params, 5)


def test_rigid_finds_the_motion_twice_the_same():
    seen = views()
    for plane in ("coronal", "sagittal"):
        truth = seen[plane].record[TRUTH]
        found = register(seen["axial"], seen[plane], FEW)
        assert displacement_error(np.eye(4), truth, POINTS) > 3
        assert displacement_error(found, truth, POINTS) < 0.75  # a quarter of a slice
        np.testing.assert_array_equal(found, register(seen["axial"], seen[plane], FEW))
        np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-6)


def test_header_is_the_identity_and_truth_what_was_simulated():
    seen = views()
    header = register(seen["axial"], seen["coronal"], {"kind": "header"})
    np.testing.assert_array_equal(header, np.eye(4))
    truth = register(seen["coronal"], seen["sagittal"], {"kind": "truth"})
    one, two = (np.array(seen[plane].record[TRUTH]) for plane in ("coronal", "sagittal"))
    np.testing.assert_allclose(truth @ one, two, atol=1e-12)
    with pytest.raises(ValueError, match="expected simulated views"):
        register(bars(), bars(), {"kind": "truth"})


def test_the_true_alignment_is_more_alike_than_the_headers():
    seen = views()
    found = {k: align(seen["axial"], seen["coronal"], {"kind": k}) for k in ("header", "truth")}
    assert found["truth"].similarity > found["header"].similarity + 0.1
    assert found["truth"].overlap > 0.95


def test_matrices_come_back_from_itk():
    matrix = np.array(views()["coronal"].record[TRUTH])
    np.testing.assert_allclose(to_world(from_world(matrix)), matrix, atol=1e-9)
    point = np.array([3.0, -4.0, 5.0])
    lps = np.array([-1, -1, 1]) * point
    moved = np.array([-1, -1, 1]) * from_world(matrix).TransformPoint(lps.tolist())
    np.testing.assert_allclose(moved, (matrix @ [*point, 1])[:3], atol=1e-9)


def test_similarities_of_numbers_known_by_hand():
    rng = np.random.default_rng(0)
    values = rng.normal(size=5000)
    assert correlation(values, 3 * values + 1) == pytest.approx(1)
    assert correlation(values, -values) == pytest.approx(-1)
    assert correlation(values, np.ones(5000)) == 0
    assert correlation_ratio(np.abs(values), values) > 0.95
    assert correlation_ratio(values, rng.normal(size=5000)) < 0.15


def test_an_empty_view_is_refused():
    seen = views()
    empty = seen["coronal"].image.with_stored(np.zeros_like(seen["coronal"].image.stored))
    with pytest.raises(ValueError, match="is empty"):
        register(seen["axial"], Case(empty), FEW)

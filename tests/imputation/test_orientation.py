"""The same scan gives the same synthetic slices, however its file is turned and scaled."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.params import ImputationParams
from slicefill.types import Case, Volume

RULE = ImputationParams(count=2)


def turned(case, orientation):
    """The same voxels in the same world, stored along other axes in another direction."""

    def turn(volume):
        back = nib.orientations.inv_ornt_aff(orientation, volume.stored.shape)
        stored = np.ascontiguousarray(nib.apply_orientation(volume.stored, orientation))
        header = nib.Nifti1Header()
        header.set_data_shape(stored.shape)
        header.set_data_dtype(stored.dtype)
        header.set_sform(volume.affine @ back, 1)
        header.set_slope_inter(*volume.slope_intercept)
        return Volume(stored, header)

    return Case(turn(case.image), turn(case.label))


def canonical(volume):
    image = nib.Nifti1Image(np.asarray(volume.stored), volume.affine)
    return np.asarray(nib.as_closest_canonical(image).dataobj)


@pytest.fixture
def scan(case):
    """A smooth object, along no axis symmetrical."""
    made = case(shape=(24, 20, 5), affine=np.diag([1.0, 1.2, 4.0, 1.0]))
    x, y, z = np.meshgrid(*map(np.arange, (24, 20, 5)), indexing="ij")
    body = (x - 9 - z) ** 2 + 1.5 * (y - 8 - 0.5 * z) ** 2 < 50
    stored = (body * 300 + made.image.stored % 20).astype(np.int16)
    return Case(made.image.with_stored(stored), made.label.with_stored(body.astype(np.uint8)))


EVERY_WAY = [
    np.column_stack([axes, ways])
    for axes in permutations(range(3))
    for ways in product([1, -1], repeat=3)
]


@pytest.mark.parametrize("method", ["pretrained", "cubic", "shape_based"])
def test_the_orientation_of_the_file_changes_no_synthetic_voxel(scan, method):
    imputer = load_named(method, RULE)
    expected = impute_case(scan, imputer, RULE)
    ways = EVERY_WAY if method != "pretrained" else EVERY_WAY[1::7]
    for way in ways:
        found = impute_case(turned(scan, way), imputer, RULE)
        for name in ("image", "label"):
            one, other = (canonical(getattr(each, name)) for each in (found, expected))
            np.testing.assert_array_equal(one, other, err_msg=f"{name} {way.tolist()}")
        confidence = canonical(found.maps["confidence"])
        np.testing.assert_array_equal(confidence, canonical(expected.maps["confidence"]))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (-1.0, 900.0), (0.5, 0.0)])
def test_how_the_file_scales_its_numbers_changes_no_intensity(scan, slope, intercept):
    """As a CT in DICOM, with a rescale intercept, and in NIfTI, in Hounsfield units."""
    imputer = load_named("pretrained", RULE)
    values = scan.image.intensities()
    stored = ((values - intercept) / slope).astype(np.int16)
    other = Case(scan.image.with_stored(stored, slope_intercept=(slope, intercept)), scan.label)
    expected, found = (impute_case(each, imputer, RULE) for each in (scan, other))
    difference = np.abs(found.image.intensities() - expected.image.intensities())
    assert difference.max() <= (0 if abs(slope) == 1 else 0.75)  # each file rounds by its step
    np.testing.assert_array_equal(found.label.stored, expected.label.stored)
    confidence = [each.maps["confidence"].stored.astype(int) for each in (found, expected)]
    np.testing.assert_allclose(*confidence, atol=1)  # of 10,000

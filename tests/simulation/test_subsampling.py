import os
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from slicefill.ingestion.checks import BadCase
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.types import Case, Volume

DATA = Path(os.environ.get("SLICEFILL_DATA", Path(__file__).parents[3] / "shared" / "data"))
ORIENTATIONS = list(product(permutations(range(3)), product([1, -1], repeat=3)))
OBLIQUE = nib.eulerangles.euler2mat(0.3, -0.2, 0.4)


def params(factor=3, axis="auto", profile="point", fwhm=None):
    return AnisotropizationParams(axis=axis, factor=factor, profile=profile, fwhm=fwhm)


def volume(stored, affine, endianness="<"):
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header.set_slope_inter(0.5, -10)
    return Volume(stored, header)


def numbers(shape, dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def along_last(profile_of_slices, dtype=np.float64):
    """Volume of 2 x 2 pixels at 2 mm slice pitch whose slices hold one number each."""
    stored = np.tile(np.asarray(profile_of_slices, dtype=dtype), (2, 2, 1))
    return Case(volume(stored, np.diag([1.0, 1.0, 2.0, 1.0])))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
@pytest.mark.parametrize("turn", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
def test_every_kept_slice_keeps_its_numbers_and_place_in_all_48_orientations(order, signs, turn):
    matrix = turn @ (np.eye(3)[list(order)].T * signs) @ np.diag([0.7, 1.3, 1.1])
    case = Case(volume(numbers((4, 5, 11)), nib.affines.from_matvec(matrix, [-80.0, 30.0, 12.5])))
    for name in ("L", "A", "S"):
        subsampled = subsample(case, params(3, name))
        axis = subsampled.record["axis"]
        for k, r in enumerate(subsampled.record["kept"]):
            np.testing.assert_array_equal(
                np.take(subsampled.image.stored, k, axis), np.take(case.image.stored, r, axis)
            )
            for corner in product(*[(0, size - 1) for size in case.image.stored.shape]):
                old, new = list(corner), list(corner)
                old[axis], new[axis] = r, k
                np.testing.assert_allclose(
                    nib.affines.apply_affine(subsampled.image.affine, new),
                    nib.affines.apply_affine(case.image.affine, old),
                    atol=1e-4,
                )


def test_the_record_sorts_every_slice_into_kept_removed_or_excluded():
    record = subsample(along_last(range(12)), params(4)).record
    assert record["axis"] == 2
    assert record["kept"] == [0, 4, 8]
    assert record["removed"] == [1, 2, 3, 5, 6, 7]
    assert record["excluded"] == [9, 10, 11]
    assert record["removed_origins_mm"][0] == [0.0, 0.0, 2.0]
    assert record["removed_origins_mm"][-1] == [0.0, 0.0, 14.0]


def test_the_record_of_the_source_is_kept():
    case = along_last(range(6))
    case = Case(case.image, record={"origin": "scanner"})
    assert subsample(case, params(2)).record["origin"] == "scanner"


@pytest.mark.parametrize("profile", ["point", "box", "gaussian"])
def test_factor_1_is_the_identity(profile):
    case = along_last(numbers(7), np.int16)
    subsampled = subsample(
        case, params(1, profile=profile, fwhm=None if profile == "point" else 6.0)
    )
    np.testing.assert_array_equal(subsampled.image.stored, case.image.stored)
    np.testing.assert_array_equal(subsampled.image.affine, case.image.affine)
    assert subsampled.record["removed"] == subsampled.record["excluded"] == []
    assert subsampled.record["profile"] == "point"  # what was done, not what was asked


@pytest.mark.parametrize("factor", [5, 9])
def test_fewer_than_two_kept_slices_are_refused_with_the_numbers(factor):
    with pytest.raises(
        ValueError, match=rf"factor {factor} keeps 1 of the 5 slices.* to 4 or less"
    ):
        subsample(along_last(range(5)), params(factor))
    assert subsample(along_last(range(5)), params(4)).record["kept"] == [0, 4]


@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "u1", "<f8"])
@pytest.mark.parametrize("profile", ["point", "gaussian"])
def test_4d_and_big_endian_scans_keep_dtype_channels_and_scale(dtype, profile):
    stored = numbers((3, 4, 10, 2)).astype(dtype)
    case = Case(volume(stored, np.diag([1.0, 1.0, 2.0, 1.0]), endianness=">"))
    subsampled = subsample(
        case, params(3, profile=profile, fwhm=None if profile == "point" else 3.0)
    )
    assert subsampled.image.stored.dtype.str == stored.dtype.str
    assert subsampled.image.stored.shape == (3, 4, 4, 2)
    assert subsampled.image.slope_intercept == (0.5, -10.0)
    one = subsample(
        Case(case.image.with_stored(stored[..., 1])),
        params(3, "auto", profile, subsampled.record["fwhm_mm"]),
    )
    np.testing.assert_array_equal(subsampled.image.stored[..., 1], one.image.stored)


def test_a_box_is_the_mean_of_the_slices_it_covers():
    # 6 mm on a 2 mm pitch covers three slices, at the first slice only two of them.
    case = along_last([0, 3, 9, 30, 60, 9, 6])
    subsampled = subsample(case, params(3, profile="box", fwhm=6.0))
    np.testing.assert_allclose(subsampled.image.stored[0, 0], [1.5, 33.0, 7.5])
    # 4 mm covers one slice and half of either neighbour.
    subsampled = subsample(case, params(3, profile="box", fwhm=4.0))
    np.testing.assert_allclose(subsampled.image.stored[0, 0], [1.0, (4.5 + 30 + 30) / 2, 7.0])


def test_a_gaussian_equals_scipys_filter_in_the_interior():
    from scipy.ndimage import gaussian_filter1d

    fine = np.random.default_rng(1).normal(size=41)
    subsampled = subsample(along_last(fine), params(4, profile="gaussian", fwhm=6.0))
    sigma = 6.0 / 2.354820045 / 2.0  # slices
    expected = gaussian_filter1d(fine, sigma, truncate=12)[::4]
    np.testing.assert_allclose(subsampled.image.stored[0, 0, 3:-3], expected[3:-3], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32])
@pytest.mark.parametrize(("profile", "width"), [("box", 5.3), ("gaussian", 7.1)])
def test_a_constant_scan_stays_constant(dtype, profile, width):
    constant = 117 if dtype is np.uint8 else 32_000
    subsampled = subsample(
        along_last([constant] * 11, dtype), params(3, profile=profile, fwhm=width)
    )
    assert (subsampled.image.stored == constant).all()


def test_boxes_that_tile_the_scan_preserve_its_mean():
    fine = np.random.default_rng(2).normal(size=13)
    subsampled = subsample(along_last(fine), params(3, profile="box", fwhm=6.0))
    tiles = [2, 3, 3, 3, 2]  # slices under each box
    mean = np.average(subsampled.image.stored[0, 0], weights=tiles)
    assert mean == pytest.approx(fine.mean(), abs=1e-12)


def test_averages_are_rounded_and_not_truncated():
    subsampled = subsample(
        along_last([0, 0, 1, 1, 1, 0, 0], np.int16), params(3, profile="box", fwhm=6.0)
    )
    assert subsampled.image.stored[0, 0].tolist() == [0, 1, 0]
    case = along_last([-2, -2, -2, -2, -1, -2, -2], np.int16)
    assert subsample(case, params(3, profile="box", fwhm=6.0)).image.stored[0, 0, 1] == -2


def test_label_and_maps_are_sampled_even_under_a_profile():
    case = along_last(range(7))
    ids = np.tile(np.array([0, 7, 7, 9, 0, 0, 4], np.uint8), (2, 2, 1))
    label = case.image.with_stored(ids)
    subsampled = subsample(
        Case(case.image, label, {"mask": label}), params(3, profile="gaussian", fwhm=8.0)
    )
    assert subsampled.label.stored[0, 0].tolist() == [0, 9, 4]
    np.testing.assert_array_equal(subsampled.maps["mask"].stored, subsampled.label.stored)
    np.testing.assert_array_equal(subsampled.label.affine, subsampled.image.affine)


def test_the_source_is_not_modified():
    case = along_last(numbers(9), np.int16)
    stored, header = case.image.stored.copy(), case.image.header.binaryblock
    subsample(case, params(2, profile="box", fwhm=6.0)).image.stored[:] = 0
    subsample(case, params(2)).image.stored[:] = 0
    np.testing.assert_array_equal(case.image.stored, stored)
    assert case.image.header.binaryblock == header


def test_simpleitk_puts_the_slices_of_a_real_oblique_scan_where_they_were(tmp_path):
    import SimpleITK

    from slicefill.io.case_folder import read_volume, write_case

    path = DATA / "odd" / "oblique_lsp" / "t2_chunk_LSP_23deg.nii.gz"
    if not path.exists():
        pytest.skip(f"no {path.name}: set SLICEFILL_DATA to the folder of the test data")
    subsampled = subsample(Case(read_volume(path)), params(2))
    write_case(subsampled, tmp_path / "case")
    source = SimpleITK.ReadImage(path)
    written = SimpleITK.ReadImage(tmp_path / "case" / "image.nii.gz")
    for k, r in enumerate(subsampled.record["kept"]):
        index, old = [5, 9, 3], [5, 9, 3]
        index[subsampled.record["axis"]], old[subsampled.record["axis"]] = k, r
        np.testing.assert_allclose(
            written.TransformIndexToPhysicalPoint(index),
            source.TransformIndexToPhysicalPoint(old),
            atol=1e-3,
        )
        assert written[index] == source[old]


def test_absent_slices_are_no_reference_and_stay_absent_among_the_kept_ones():
    case = Case(along_last(range(13)).image, record={"absent_slices": [3, 4, 7]})
    record = subsample(case, params(2)).record
    assert record["kept"] == [0, 2, 4, 6, 8, 10, 12]
    assert record["absent_slices"] == [2]  # slice 4, filled or not
    assert record["removed"] == [1, 5, 9, 11]
    assert len(record["removed_origins_mm"]) == 4
    assert record["guessed"] == [3, 4, 7]
    assert subsample(case, params(1)).record["absent_slices"] == [3, 4, 7]
    twice = subsample(subsample(case, params(2)), params(3)).record
    assert (twice["kept"], twice["removed"], twice["guessed"]) == ([0, 3, 6], [1, 4, 5], [2])
    assert subsample(subsample(case, params(5)), params(2)).record["guessed"] == []


def test_the_last_slice_kept_was_acquired():
    case = Case(along_last(range(11)).image, record={"absent_slices": [6, 9]})
    subsampled = subsample(case, params(3, profile="box", fwhm=4.0))
    assert subsampled.record["kept"] == [0, 3]
    assert subsampled.record["excluded"] == [4, 5, 6, 7, 8, 9, 10]
    assert subsampled.image.stored.shape == (2, 2, 2)
    assert subsampled.record["absent_slices"] == []


def test_a_series_with_absent_slices_is_subsampled_across_its_slices_alone():
    case = Case(volume(numbers((5, 6, 7)), np.eye(4)), record={"absent_slices": [3]})
    with pytest.raises(BadCase, match=r"axis S, .* found A; set it to S .*--params axis=S"):
        subsample(case, params(2, "A"))
    assert subsample(case, params(1, "A")).absent == (3,)

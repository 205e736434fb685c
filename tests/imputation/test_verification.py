import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from slicefill.geometry import slices_back, slices_first, step_map, through_plane_axis
from slicefill.imputation.verification import verify_imputed_case
from slicefill.types import Case, Volume

DATA = Path(os.environ.get("SLICEFILL_DATA", Path(__file__).parents[3] / "shared" / "data"))
AXIS, COUNT = 1, 3
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.4) @ np.diag([0.7, -4.0, 0.8]), [-40.0, 25.0, 7.0]
)


def volume(stored, affine=OBLIQUE, endianness="<"):
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_qform(affine, 1)
    header.set_sform(affine, 2)
    header.set_slope_inter(0.5, -10)
    return Volume(stored, header)


def fill(source, axis, count):
    """Repeat every slice into the interval behind it: the plainest imputing there is."""

    def repeated(one):
        slices = np.repeat(slices_first(one.stored, axis), count + 1, axis=0)
        if count:
            slices = slices[:-count]
        return one.with_stored(slices_back(slices, axis).copy(), step_map(axis, 1 / (count + 1)))

    image = repeated(source.image)
    label = None if source.label is None else repeated(source.label)
    mask = np.zeros(image.stored.shape[:3], np.uint8)
    slices_first(mask, axis)[:] = (np.arange(mask.shape[axis]) % (count + 1) > 0)[:, None, None]
    maps = {"synthetic_mask": image.with_stored(mask)}
    return Case(image, label, maps, {"axis": axis, "count": count})


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    image = volume(rng.integers(0, 900, (6, 5, 7)).astype(np.int16))
    return Case(image, image.with_stored(rng.choice([0, 2, 5], (6, 5, 7)).astype(np.uint8)))


@pytest.fixture
def imputed(source):
    return fill(source, AXIS, COUNT)


def with_image(case, stored):
    return replace(case, image=Volume(stored, case.image.header))


def test_a_right_imputation_passes(imputed, source):
    assert verify_imputed_case(imputed, source) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("count", [0, 1, 6])
@pytest.mark.parametrize("dtype", [">i2", "<f4", "u1", ">f8"])
def test_any_axis_count_and_byte_order_pass_in_3d_and_4d(axis, count, dtype):
    for shape in [(4, 5, 6), (4, 5, 6, 2)]:
        stored = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
        case = Case(volume(stored, endianness=">"))
        assert verify_imputed_case(fill(case, axis, count), case) == []


def test_a_single_changed_bit_of_an_acquired_voxel_is_found_and_named(imputed, source):
    stored = imputed.image.stored.copy()
    stored[3, 2 * (COUNT + 1), 4] ^= 1
    (difference,) = verify_imputed_case(with_image(imputed, stored), source)
    assert difference.startswith("image: acquired slice 2, output slice 8: expected SHA-256")


def test_a_changed_synthetic_voxel_is_no_difference(imputed, source):
    stored = imputed.image.stored.copy()
    stored[:, 5] += 9
    assert verify_imputed_case(with_image(imputed, stored), source) == []


def test_a_negative_zero_is_not_a_zero():
    case = Case(volume(np.zeros((3, 4, 3), np.float32)))
    output = fill(case, AXIS, 1)
    output.image.stored[0, 0, 0] = -0.0
    (difference,) = verify_imputed_case(output, case)
    assert "acquired slice 0" in difference


def test_swapped_slices_are_found(imputed, source):
    stored = imputed.image.stored.copy()
    stored[:, [0, 4]] = stored[:, [4, 0]]
    assert len(verify_imputed_case(with_image(imputed, stored), source)) == 2


def test_a_changed_label_slice_and_a_new_label_id_are_two_differences(imputed, source):
    imputed.label.stored[:, 4] = 9
    slice_text, id_text = verify_imputed_case(imputed, source)
    assert slice_text.startswith("label: acquired slice 1, output slice 4")
    assert id_text == "label: expected ids out of [0, 2, 5], found also [9]"


def test_a_new_id_in_a_synthetic_slice_is_found(imputed, source):
    imputed.label.stored[0, 1, 0] = 3
    assert verify_imputed_case(imputed, source) == [
        "label: expected ids out of [0, 2, 5], found also [3]"
    ]


@pytest.mark.parametrize("dtype", [np.int32, np.float32, ">i2"])
def test_another_dtype_or_byte_order_is_found_even_if_the_values_agree(imputed, source, dtype):
    (difference,) = verify_imputed_case(
        with_image(imputed, imputed.image.stored.astype(dtype)), source
    )
    assert difference == f"image: expected dtype <i2, found {np.dtype(dtype).str}"


def test_another_intensity_scale_is_found(imputed, source):
    imputed.image.header.set_slope_inter(0.5, -11)
    (difference,) = verify_imputed_case(imputed, source)
    assert difference == "image: expected slope and intercept (0.5, -10.0), found (0.5, -11.0)"


def test_a_missing_slice_is_found(imputed, source):
    short = replace(imputed, image=imputed.image.with_stored(imputed.image.stored[:, :-1]), maps={})
    differences = verify_imputed_case(short, source)
    assert differences[0] == "image: expected shape (6, 17, 7), found (6, 16, 7)"


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_a_shift_of_either_form_is_found_with_its_size(imputed, source, form):
    for one in (imputed.image, imputed.maps["synthetic_mask"]):
        affine, code = getattr(one.header, f"get_{form}")(coded=True)
        affine[:3, 3] += [0, 0, 0.1]
        getattr(one.header, f"set_{form}")(affine, int(code))
    (difference,) = verify_imputed_case(imputed, source)
    assert difference.startswith(f"image {form}: expected the corners")
    assert difference.endswith("up to 0.1 mm off")


def test_a_shift_below_the_tolerance_passes(imputed, source):
    affine = imputed.image.affine.copy()
    affine[0, 3] += 0.0005  # the smallest spacing is 0.7 mm
    imputed.image.header.set_sform(affine, 2)
    assert verify_imputed_case(imputed, source) == []


def test_a_spacing_that_was_not_divided_is_found_in_both_forms(imputed, source):
    wrong = imputed.image.with_stored(imputed.image.stored, step_map(AXIS, COUNT + 1))
    differences = verify_imputed_case(replace(imputed, image=wrong), source)
    assert sum("expected spacing" in text for text in differences) == 2
    assert sum("expected the corners" in text for text in differences) == 2


def test_a_world_that_is_no_longer_declared_is_found(imputed, source):
    imputed.image.header["qform_code"] = 0
    assert verify_imputed_case(imputed, source) == ["image: expected a valid qform, found none"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_found_in_synthetic_slices_and_in_maps(value):
    case = Case(volume(np.ones((3, 4, 3), np.float32)))
    output = fill(case, AXIS, 1)
    output.image.stored[0, 1, 0] = value
    confidence = output.image.with_stored(np.full(output.image.stored.shape, value, np.float32))
    differences = verify_imputed_case(
        replace(output, maps={**output.maps, "confidence": confidence}), case
    )
    assert differences == [
        "image: expected finite synthetic values, found 1 others",
        "confidence: expected finite values, found others",
    ]


def test_a_nan_that_was_acquired_must_be_kept():
    case = Case(volume(np.full((3, 4, 3), np.nan, np.float32)))
    output = fill(case, AXIS, 0)
    assert verify_imputed_case(output, case) == []
    output.image.stored[:] = 0
    assert len(verify_imputed_case(output, case)) == 4


def test_a_mask_that_is_wrong_missing_or_elsewhere_is_found(imputed, source):
    mask = imputed.maps["synthetic_mask"]
    wrong = mask.stored.copy()
    wrong[0, 4, 0], wrong[0, 5, 0] = 1, 0
    (difference,) = verify_imputed_case(
        replace(imputed, maps={"synthetic_mask": mask.with_stored(wrong)}), source
    )
    assert difference.endswith("found otherwise in [4, 5]")
    (difference,) = verify_imputed_case(replace(imputed, maps={}), source)
    assert difference == "synthetic_mask: expected this map, found []"
    elsewhere = mask.with_stored(mask.stored, step_map(AXIS, 2))
    (difference,) = verify_imputed_case(
        replace(imputed, maps={"synthetic_mask": elsewhere}), source
    )
    assert difference.startswith("synthetic_mask: expected the image's affine")


def test_a_label_out_of_nothing_and_a_lost_label_are_found(imputed, source):
    assert verify_imputed_case(imputed, replace(source, label=None)) == [
        "label: expected none, found one"
    ]
    assert verify_imputed_case(replace(imputed, label=None), source) == [
        "label: expected one, found none"
    ]


@pytest.mark.parametrize(
    "record", [{}, {"axis": 3, "count": 1}, {"axis": 1}, {"axis": 1, "count": -1}]
)
def test_a_record_without_axis_and_count_is_the_only_difference(imputed, source, record):
    (difference,) = verify_imputed_case(replace(imputed, record=record), source)
    assert difference.startswith(
        ("record: expected axis 0, 1 or 2, f", "record: expected count >=")
    )


@pytest.mark.parametrize(
    "name",
    [
        "odd/oblique_lsp/t2_chunk_LSP_23deg.nii.gz",
        "odd/fetal/run-3_T2w.nii.gz",
        "odd/spinalcord/t2s_t2s.nii.gz",
        "odd/spleen2/ct.nii.gz",
        "odd/fourd/functional_4x4x8.nii",
        "cine_sax/imagesTr/SC-HF-I-1_ED.nii.gz",
        "mouse_brain/imagesTr/FVB_NCrl_in_vivo_5.nii.gz",
    ],
)
def test_real_scans_imputed_written_and_read_again_pass(name, tmp_path):
    from slicefill.io.case_folder import read_case, read_volume, write_case

    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name}: set SLICEFILL_DATA to the folder of the test data")
    case = Case(read_volume(path))
    imputed = fill(case, through_plane_axis(case.image.affine, "auto"), 2)
    write_case(imputed, tmp_path / "imputed")
    assert verify_imputed_case(read_case(tmp_path / "imputed"), case) == []


def test_small_voxels_far_from_the_origin_are_compared_as_float32_can():
    """Voxels of 0.4 µm at 30 mm: a header places them to 2e-6 mm, more than 1e-3 of a voxel."""
    rng = np.random.default_rng(0)
    affine = np.diag([4e-4, 1.6e-3, 4e-4, 1.0])
    affine[:3, 3] = 30.0001
    image = volume(rng.integers(0, 900, (6, 5, 7)).astype(np.int16), affine)
    case = Case(image)
    filled = fill(case, AXIS, COUNT)
    moved = filled.image.header.copy()
    moved["srow_x"][3] += 1.14e-6
    near = replace(filled, image=Volume(filled.image.stored, moved))
    assert verify_imputed_case(near, case) == []
    moved["srow_x"][3] += 4e-4  # a voxel
    assert verify_imputed_case(near, case) != []

"""A derived DICOM series holds what was imputed, where it lies, and what it came from."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import JPEGLosslessSV1, RLELossless, generate_uid

from slicefill import api
from slicefill.command_line import main
from slicefill.ingestion.checks import BadCase
from slicefill.io.dicom_series import write_series

from .conftest import DIRECTIONS, STEP


def read(files):
    return [pydicom.dcmread(path) for path in files]


def by_position(files):
    slices = read(files)
    normal = np.cross(*np.reshape(slices[0].ImageOrientationPatient, (2, 3)))
    return sorted(slices, key=lambda each: np.dot(each.ImagePositionPatient, normal))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", ["<i2", "<u2", "u1"])
def test_intensities_and_world_positions_are_those_of_the_imputed_case(derive, direction, dtype):
    made = derive(direction=direction, dtype=dtype)
    image = made.imputed.image
    folder = str(made.derived[0].parent)
    (uid,) = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(folder)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(folder, uid)
    itk = SimpleITK.ReadImage(names, SimpleITK.sitkFloat64)
    assert itk.GetSize() == image.stored.shape == (6, 5, 13)
    # GDCM may count the slices from the other end; a voxel is where it is all the same.
    np.testing.assert_allclose(itk.GetSpacing(), [0.5, 0.7, STEP / 4], rtol=1e-5)
    for index in [(0, 0, 0), (5, 0, 3), (0, 4, 1), (2, 3, 12), (5, 4, 6)]:
        ras = (image.affine @ [*index, 1])[:3]
        lps = tuple(map(float, ras * [-1, -1, 1]))
        there = itk.TransformPhysicalPointToContinuousIndex(lps)
        np.testing.assert_allclose(there, np.round(there), atol=1e-3)
        voxel = [round(number) for number in there]
        assert itk.GetPixel(*voxel) == image.intensities()[index]


@pytest.mark.parametrize("dtype", ["<i2", "<u2", "u1"])
def test_what_is_derived_reads_back_as_the_imputed_case(derive, dtype):
    made = derive(dtype=dtype)
    back = api.read(made.derived[0].parent).image
    expected = made.imputed.image.stored
    if dtype == "<u2":  # 12 of 16 bits are stored, and cubic overshoots
        expected = expected.clip(0, 4095)
    np.testing.assert_array_equal(back.stored, expected)
    np.testing.assert_allclose(back.affine, made.imputed.image.affine, atol=1e-4)
    assert back.slope_intercept == (2.5, -1024)


def test_acquired_slices_keep_their_numbers_and_their_place_to_the_bit(derive):
    made = derive()
    sources, derived = by_position(made.sources), read(made.derived)
    for source, ours in zip(sources, derived[::4], strict=True):
        assert ours.PixelData == source.PixelData
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                        "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
                        "AcquisitionTime", "SliceLocation", "BitsStored"):  # fmt: skip
            assert ours[keyword] == source[keyword]


def test_uids_are_new_and_unique_and_the_study_stays(derive):
    made = derive()
    sources, derived = read(made.sources), read(made.derived)
    old = {each.SOPInstanceUID for each in sources}
    new = {each.SOPInstanceUID for each in derived}
    assert len(new) == 13
    assert not old & new
    assert len({each.SeriesInstanceUID for each in derived}) == 1
    assert derived[0].SeriesInstanceUID != sources[0].SeriesInstanceUID
    for ours in derived:
        assert ours.file_meta.MediaStorageSOPInstanceUID == ours.SOPInstanceUID
        assert ours.StudyInstanceUID == sources[0].StudyInstanceUID
        assert ours.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    again = write_series(made.imputed, made.sources, made.derived[0].parent.with_name("again"))
    assert not new & {each.SOPInstanceUID for each in read(again)}


def test_every_slice_says_that_it_is_derived_and_from_what(derive):
    made = derive()
    sources, derived = by_position(made.sources), read(made.derived)
    uids = [each.SOPInstanceUID for each in sources]
    for index, ours in enumerate(derived):
        before, offset = divmod(index, 4)
        referred = [item.ReferencedSOPInstanceUID for item in ours.SourceImageSequence]
        assert referred == uids[before : before + (2 if offset else 1)]
        assert list(ours.ImageType) == ["DERIVED", "SECONDARY", "M", "ND"]
        kind = "synthetic" if offset else "acquired"
        assert ours.DerivationDescription.startswith(kind)
        assert ours.SliceThickness == ours.SpacingBetweenSlices == STEP / 4
        assert ours.SeriesDescription == "T2 tra imputed cubic"
    assert "0.25 of the way" in derived[1].DerivationDescription


def test_a_synthetic_slice_says_what_both_neighbours_say_alike(derive):
    made = derive()
    ours = read(made.derived)[3]  # at 0.75 between the slices 0 and 1
    assert ours.RepetitionTime == 3000
    assert not ours.AcquisitionTime
    assert ours.WindowCenter == 41
    assert ours.WindowWidth == 400
    assert ours.SliceLocation == pytest.approx(0.75 * STEP)


def test_instance_numbers_run_in_the_direction_of_the_sources(derive):
    numbers = [each.InstanceNumber for each in read(derive().derived)]
    assert numbers == list(range(13, 0, -1))  # those of the sources fall with the position


def test_nothing_is_invented_about_the_patient_and_private_tags_stay_behind(derive):
    def without_a_name(slices):
        for each in slices:
            del each.PatientName
            nested = pydicom.Dataset()
            nested.add_new(0x00090010, "LO", "VENDOR")
            nested.add_new(0x00091001, "LO", "Doe, Jane")
            each.RequestAttributesSequence = [nested]

    made = derive(change=without_a_name)
    patient = {element.tag for each in read(made.sources) for element in each.group_dataset(0x10)}
    for path, ours in zip(made.derived, read(made.derived), strict=True):
        assert {element.tag for element in ours.group_dataset(0x10)} == patient
        assert ours.PatientID == "7"
        assert "PatientName" not in ours
        assert b"Doe" not in path.read_bytes()


def test_a_name_keeps_its_characters(derive):
    for ours in read(derive().derived):
        assert str(ours.PatientName) == "Größe^Jane"


def test_synthetic_numbers_stay_within_the_bits_that_are_stored(derive):
    def extreme(slices):
        for index, each in enumerate(slices):
            noise = np.random.default_rng(index).integers(0, 9, (5, 6))  # no constant background
            stored = (4095 - noise if index in (1, 2) else noise).astype("<u2")  # cubic overshoots
            each.PixelData = stored.tobytes()

    made = derive(dtype="<u2", change=extreme)
    assert made.imputed.image.stored.max() > 4095
    assert max(each.pixel_array.max() for each in read(made.derived)) == 4095


def test_a_compressed_series_becomes_one_that_is_not(series, tmp_path):
    sources = series(dtype="<u2")
    plain = by_position(sources)
    for path in sources:
        compressed = pydicom.dcmread(path)
        compressed.compress(RLELossless, generate_instance_uid=False)
        compressed.save_as(path)
    imputed = api.impute(api.read(sources[0].parent), method="linear", count=1)
    derived = read(write_series(imputed, sources, tmp_path / "derived"))
    for source, ours in zip(plain, derived[::2], strict=True):
        assert ours.PixelData == source.PixelData
        assert not ours.file_meta.TransferSyntaxUID.is_compressed


def _without_preamble(path):
    data = pydicom.dcmread(path)
    del data.file_meta, data.preamble
    implicit = int(path.stem) % 2 == 0
    pydicom.dcmwrite(
        path, data, implicit_vr=implicit, little_endian=True, enforce_file_format=False
    )


def _in_jpeg_lossless(path):
    """ITK has an encoder, and pydicom has no decoder."""
    data = pydicom.dcmread(path)
    writer = SimpleITK.ImageFileWriter()
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(path))
    writer.Execute(SimpleITK.GetImageFromArray(data.pixel_array[None]))
    packed = pydicom.dcmread(path)
    assert packed.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    packed.update({each.tag: each for each in data if each.keyword != "PixelData"})
    packed.save_as(path)


@pytest.mark.parametrize("change", [_without_preamble, _in_jpeg_lossless])
def test_what_can_be_read_can_be_derived_from(series, tmp_path, change):
    sources = series(dtype="<u2")
    plain = [each.pixel_array for each in by_position(sources)]
    for path in sources:
        change(path)
    imputed = api.impute(api.read(sources[0].parent), method="linear", count=1)
    derived = by_position(write_series(imputed, sources, tmp_path / "derived"))
    for before, after in zip(plain, derived[::2], strict=True):
        np.testing.assert_array_equal(after.pixel_array, before)
        assert after.DerivationDescription == "acquired slice, numbers unchanged"


def _slopes_of_their_own(slices):
    for k, each in enumerate(slices):
        each.RescaleSlope = 1 + k


def _table(slices):
    table = pydicom.Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "US"
    table.add_new("LUTData", "OW", np.arange(4096)[::-1].astype("<u2").tobytes())
    for each in slices:
        each.ModalityLUTSequence = [table]


@pytest.mark.parametrize(
    ("change", "found"), [(_slopes_of_their_own, "4 pairs of them"), (_table, "a table")]
)
def test_intensities_that_stored_numbers_cannot_hold_are_refused_before_imputing(
    series, capsys, change, found
):
    folder = series(dtype="<u2", change=change)[0].parent
    options = ["impute", str(folder), "--method", "linear", "--count", "1"]
    assert main([*options, "--dicom"]) == 3
    said = capsys.readouterr()
    assert f"found {found}" in said.out + said.err
    assert "leave out --dicom" in said.out + said.err
    assert list(folder.parent.iterdir()) == [folder]
    assert main(options) == 0


def test_an_axis_within_the_slices_is_refused_before_imputing(series, capsys, monkeypatch):
    folder = series(direction="axial")[0].parent
    monkeypatch.setattr("slicefill.batch.impute.impute_scan", lambda *_: pytest.fail("imputed"))
    options = ["impute", str(folder), "--method", "linear", "--count", "1", "--axis", "A"]
    assert main([*options, "--dicom"]) == 3
    told = "found some between its rows (axis: A); --axis S, or leave out --dicom"
    assert told in capsys.readouterr().err
    assert list(folder.parent.iterdir()) == [folder]


def test_a_tilted_gantry_keeps_its_positions(derive):
    made = derive(direction="axial", shear=(0, 1, 0))
    derived = read(made.derived)
    assert derived[0].SpacingBetweenSlices == pytest.approx(STEP / 4)  # across, not along
    steps = np.diff([each.ImagePositionPatient for each in derived], axis=0)
    np.testing.assert_allclose(steps, np.tile([0, 0.25, STEP / 4], (12, 1)), atol=1e-9)


def test_acquired_slices_that_the_method_replaced_are_called_so(derive, tmp_path):
    made = derive()
    stored = made.imputed.image.stored.copy()
    stored[0, 0, 4] += 1
    record = {**made.imputed.record, "acquired_slices": "replaced"}
    changed = replace(made.imputed, image=made.imputed.image.with_stored(stored), record=record)
    derived = read(write_series(changed, made.sources, tmp_path / "replaced"))
    assert derived[4].pixel_array[0, 0] == stored[0, 0, 4]
    assert [each.DerivationDescription for each in derived[::4]] == [
        "acquired slice, numbers unchanged",
        "acquired slice, numbers replaced",
        "acquired slice, numbers unchanged",
        "acquired slice, numbers unchanged",
    ]


def test_another_series_is_refused(derive, tmp_path):
    made = derive()
    with pytest.raises(BadCase, match="give the files of the series that was imputed"):
        write_series(made.imputed, made.sources[:-1], tmp_path / "other")
    changed = pydicom.dcmread(made.sources[0])
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(made.sources[0])
    with pytest.raises(BadCase, match="every acquired slice as in the source"):
        write_series(made.imputed, made.sources, tmp_path / "other")
    changed.SeriesInstanceUID = generate_uid()
    changed.save_as(made.sources[0])
    with pytest.raises(BadCase, match="4 files of 2 series"):
        write_series(made.imputed, made.sources, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_imputing_along_rows_is_refused(derive):
    with pytest.raises(BadCase, match="some along its columns; set the axis"):
        derive(direction="axial", imputing={"count": 1, "axis": "L"})


def test_the_sources_are_never_replaced(derive):
    made = derive()
    for folder in (made.sources[0].parent, made.sources[0].parents[1]):
        with pytest.raises(BadCase, match="write to another folder"):
            write_series(made.imputed, made.sources, folder)
    assert all(path.exists() for path in made.sources)

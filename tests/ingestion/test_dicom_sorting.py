"""DICOM is sorted by what the files say; pixels and places are those of the truth."""

import shutil
from copy import deepcopy

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.layouts import find_cases, find_scans
from slicefill.ingestion.reading import read_raw_case

FLAT = np.eye(3)
AFFINE = np.array([[-0.5, 0, 0, -10], [0, -0.7, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def numbers(index):
    """What the slice `index` of the conftest stores, `(columns, rows)`."""
    return (np.arange(30).reshape(5, 6) + 100 * index).T


@pytest.fixture
def stack(slice_of):
    """Four axial slices of one series, with elements as given; their own SOP instances."""

    def make(count=4, series="s", direction=FLAT, **elements):
        slices = [slice_of(k, direction, series=series) for k in range(count)]
        for each in slices:
            for keyword, value in elements.items():
                setattr(each, keyword, value)
        return slices

    return make


@pytest.fixture
def sort(tmp_path, params, write_series):
    """Write slices into a folder, sort it, and read every case."""

    def run(slices, folder="scan", save=write_series):
        save(tmp_path / "raw" / folder, slices)
        settings = params(layout="auto")
        found = find_cases(tmp_path / "raw", settings)
        return found, {case.id: read_raw_case(case, settings).image for case in found.cases}

    return run


def named(found):
    return {each.path.name: each.reason for each in found.left_aside}


@pytest.mark.parametrize(
    ("keyword", "values", "names"),
    [
        ("EchoTime", (5.0, 20.0), ("scan-echo5", "scan-echo20")),
        ("EchoNumbers", (1, 2), ("scan-echo1", "scan-echo2")),
        ("DiffusionBValue", (0.0, 1000.0), ("scan-b0", "scan-b1000")),
        ("TemporalPositionIdentifier", (1, 2), ("scan-time1", "scan-time2")),
        ("ImageType", (["O", "M"], ["O", "P"]), ("scan-m", "scan-p")),
        ("TriggerTime", (10.5, 300.5), ("scan-phase01", "scan-phase02")),
        ("AcquisitionNumber", (1, 2), ("scan-volume01", "scan-volume02")),
    ],
)  # fmt: skip
def test_what_repeats_at_every_position_is_a_case_of_its_own(sort, stack, keyword, values, names):
    first, second = (stack(**{keyword: value}) for value in values)
    for each in second:
        each.PixelData = (np.frombuffer(each.PixelData, "<i2") + 7).tobytes()
    found, images = sort(first + second)
    assert found.left_aside == []
    assert sorted(images) == sorted(names)
    for name, more in zip(names, (0, 7), strict=True):
        for k in range(4):
            np.testing.assert_array_equal(images[name].stored[..., k], numbers(k) + more)


def test_trigger_times_of_ordinary_slices_divide_nothing(sort, stack):
    slices = stack()
    for k, each in enumerate(slices):
        each.TriggerTime, each.EchoTime = 100.0 * k, 5.0 + k
    _, images = sort(slices)
    assert images["scan"].stored.shape == (6, 5, 4)


def test_phases_whose_times_differ_from_slice_to_slice_go_by_their_order(sort, stack):
    slices = []
    for phase in range(3):
        for k, each in enumerate(stack()):
            each.TriggerTime = 30.0 * phase + 0.7 * k
            each.PixelData = np.full(30, 10 * phase + k, "<i2").tobytes()
            slices.append(each)
    _, images = sort(slices)
    assert sorted(images) == ["scan-phase01", "scan-phase02", "scan-phase03"]
    assert images["scan-phase02"].stored[0, 0].tolist() == [10, 11, 12, 13]


def test_phases_are_told_by_times_though_a_heartbeat_is_not_always_as_long(sort, stack):
    """Late phases of a short beat are earlier than early ones of a long beat; numbers run back."""
    slices = []
    for k, each in enumerate(stack()):
        for phase in range(20):
            own = deepcopy(each)
            own.TriggerTime = phase * (800, 930, 850, 1000)[k] / 20
            own.InstanceNumber = 20 * k + (20 - phase if k % 2 else phase + 1)
            own.SOPInstanceUID = pydicom.uid.generate_uid()
            own.PixelData = np.full(30, phase, "<i2").tobytes()
            slices.append(own)
    _, images = sort(slices)
    assert len(images) == 20
    assert {name: np.unique(image.stored).tolist() for name, image in images.items()} == {
        f"scan-phase{phase + 1:02d}": [phase] for phase in range(20)
    }


@pytest.mark.parametrize("of_slice_alone", [False, True], ids=["jitter", "ties"])
def test_times_that_do_not_tell_volumes_apart_do_not_divide_them(sort, stack, of_slice_alone):
    """As of gated diffusion: the heart's jitter, or the delay of a slice in every direction."""
    jitter = np.random.default_rng(0).permutation(12)
    slices = []
    for volume in range(3):
        for k, each in enumerate(stack(AcquisitionNumber=volume + 1)):
            each.InstanceNumber = 4 * volume + k + 1
            each.TriggerTime = 450.0 + (k if of_slice_alone else jitter[4 * volume + k])
            each.PixelData = np.full(30, volume, "<i2").tobytes()
            slices.append(each)
    _, images = sort([slices[k] for k in np.random.default_rng(1).permutation(12)])
    assert {name: np.unique(image.stored).tolist() for name, image in images.items()} == {
        "scan-volume01": [0],
        "scan-volume02": [1],
        "scan-volume03": [2],
    }


def test_a_series_is_one_case_whatever_folders_it_lies_in(tmp_path, sort, stack):
    slices = stack()
    sort(slices[:2], "p/part1")
    found, images = sort(slices[2:], "p/part2")
    assert list(images) == ["p"]
    np.testing.assert_allclose(images["p"].affine, AFFINE, atol=1e-5)
    assert len(found.cases[0].image) == 4


def test_series_in_one_folder_are_told_apart(sort, stack):
    slices = stack(SeriesNumber=3) + stack(series="t", SeriesNumber=7)
    assert sorted(sort(slices)[1]) == ["scan-series3", "scan-series7"]


def test_orientations_of_one_series_are_told_apart(sort, stack):
    turned = stack(3, direction=np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]))
    _, images = sort(stack() + turned)
    assert {name: image.stored.shape[2] for name, image in images.items()} == {
        "scan-axial": 4,
        "scan-coronal": 3,
    }


def test_what_is_no_slice_of_a_volume_is_left_aside_by_name(sort, stack, tmp_path):
    mosaic = stack(2, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], series="m")
    localizer = stack(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], series="l")
    alone = stack(1, direction=np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    shot = stack(1, series="sc", SOPClassUID=SecondaryCaptureImageStorage)
    del shot[0].ImagePositionPatient
    screen = stack(1, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = BasicTextSRStorage, generate_uid()
    copies = stack()
    found, images = sort([*copies, *localizer, *alone, *mosaic, *shot, *screen, report])
    assert list(images) == ["scan"]
    reasons = sorted(each.reason for each in found.left_aside)
    assert reasons == [
        "a DICOM localizer",
        "a DICOM mosaic, all slices in one picture: convert the series with dcm2niix",
        "a DICOM mosaic, all slices in one picture: convert the series with dcm2niix",
        "a DICOM object that is no scan (Basic Text SR Storage)",
        "a DICOM screenshot (secondary capture)",
        "a DICOM screenshot (secondary capture)",
        "a DICOM slice that is alone beside a volume of its series (a localizer?)",
    ]
    assert found.refused == []


def test_a_second_copy_of_a_slice_is_left_aside(tmp_path, sort, stack):
    sort(stack())
    scan = tmp_path / "raw" / "scan"
    shutil.copy(scan / "01.dcm", scan / "copy.dcm")
    found, images = sort([], "empty")
    assert images["scan"].stored.shape == (6, 5, 4)
    assert len(named(found)) == 1


def test_slices_to_which_anonymising_gave_one_uid_are_no_copies(sort, stack):
    found, images = sort(stack(SOPInstanceUID="1.2.3"))
    assert found.left_aside == []
    assert images["scan"].stored.shape == (6, 5, 4)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_slices_that_do_not_say_whose_they_are_belong_to_the_others(sort, stack, keyword):
    slices = stack(**{keyword: "1.2"})
    del slices[1][keyword]
    setattr(slices[2], keyword, "")
    found, images = sort(slices)
    assert found.refused == []
    assert {name: image.stored.shape for name, image in images.items()} == {"scan": (6, 5, 4)}


def test_a_copy_is_one_however_its_position_is_written(sort, stack):
    slices = stack()
    copies = deepcopy(slices[:2])
    copies[0].ImagePositionPatient = [f"{value:.4f}" for value in slices[0].ImagePositionPatient]
    copies[1].InstanceNumber = None
    found, images = sort([*slices, *copies])
    assert [each.reason for each in found.left_aside] == ["a second copy of a DICOM slice"] * 2
    assert images["scan"].stored.shape == (6, 5, 4)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_series_of_two_patients_or_studies_with_one_uid_are_told_apart(sort, stack, keyword):
    slices = [each for value in ("1.2", "1.3") for each in stack(**{keyword: value})]
    _, images = sort(slices)
    assert {name: image.stored.shape for name, image in images.items()} == {
        "scan-1": (6, 5, 4),
        "scan-2": (6, 5, 4),
    }


@pytest.mark.parametrize("name", ["IMG{}.img", "IM{}.raw", "IM{}.txt", "version{}"])
def test_dicom_is_told_by_its_mark_whatever_it_is_called(
    tmp_path, sort, stack, write_series, params, name
):
    def save(folder, slices):
        for number, path in enumerate(sorted(write_series(folder, slices).iterdir())):
            path.rename(folder / name.format(number))

    found, images = sort(stack(), save=save)
    assert found.left_aside == []
    assert images["scan"].stored.shape == (6, 5, 4)
    first = tmp_path / "raw/scan" / name.format(0)
    with find_scans(first, params(layout="auto")) as of_file:
        assert len(of_file.cases[0].image) == 4
    with pytest.raises(FileNotFoundError, match="a scan where the layout folder does not look"):
        find_cases(tmp_path / "raw", params(layout="folder"))


def test_a_damaged_file_is_refused_by_its_name_and_others_go_on(tmp_path, sort, stack):
    sort(stack())
    bad = tmp_path / "raw" / "bad.dcm"
    bad.write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\xff\xff" + b"\1" * 9)
    found, images = sort([], "empty")
    assert list(images) == ["scan"]
    assert [(error.case, error.file) for error in found.refused] == [("bad.dcm", bad)]


# --- how pixels are stored --------------------------------------------------------------------


def save_plain(folder, slices):
    """Without preamble and file meta information, as some archives do."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(slices):
        implicit = number % 2 == 0
        pydicom.dcmwrite(
            folder / f"IM{number}", each, implicit_vr=implicit, little_endian=True,
            enforce_file_format=False,
        )  # fmt: skip


def save_as(syntax):
    def save(folder, slices):
        folder.mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(slices):
            each.file_meta = FileMetaDataset()
            if syntax in (RLELossless, JPEGLSLossless):
                each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                each.compress(syntax, generate_instance_uid=False)
            each.file_meta.TransferSyntaxUID = syntax
            each.save_as(folder / f"{number}.dcm", enforce_file_format=True)

    return save


@pytest.mark.parametrize(
    "save",
    [save_plain, save_as(DeflatedExplicitVRLittleEndian), save_as(RLELossless)],
    ids=["no preamble", "deflated", "RLE"],
)
def test_stored_numbers_and_places_are_kept(sort, stack, save):
    _, images = sort(stack(), save=save)
    for k in range(4):
        np.testing.assert_array_equal(images["scan"].stored[..., k], numbers(k))
    assert images["scan"].slope_intercept == (2, -1024)
    np.testing.assert_allclose(images["scan"].affine, AFFINE, atol=1e-5)


def test_jpeg_ls_is_read(sort, stack):
    pytest.importorskip("jpeg_ls", reason="the encoder comes with pyjpegls")
    slices = stack(PixelRepresentation=0)
    _, images = sort(slices, save=save_as(JPEGLSLossless))
    np.testing.assert_array_equal(images["scan"].stored[..., 2], numbers(2))


def save_jpeg_lossless(folder, slices):
    """ITK has the encoder; position, orientation and scale are those of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(slices):
        image = SimpleITK.GetImageFromArray(each.pixel_array[None].astype(np.uint16))
        path = folder / f"{number}.dcm"
        writer = SimpleITK.ImageFileWriter()
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(path))
        writer.Execute(image)
        data = pydicom.dcmread(path)
        assert data.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        for element in each:
            if element.keyword not in ("PixelData", "PixelRepresentation"):
                data[element.tag] = element
        data.save_as(path)


def test_jpeg_lossless_is_read_though_pydicom_has_no_decoder(sort, stack):
    slices = stack()
    for each in slices:
        each.file_meta = FileMetaDataset()
        each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _, images = sort(slices, save=save_jpeg_lossless)
    for k in range(4):
        np.testing.assert_array_equal(images["scan"].stored[..., k], numbers(k))
    assert images["scan"].slope_intercept == (2, -1024)


@pytest.fixture
def enhanced(stack):
    """One file with a frame for every number in `order`: the position of its slice."""

    def make(order):
        (each,) = stack(1, SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=len(order))
        stored = [numbers(k).T + 1000 * order[:n].count(k) for n, k in enumerate(order)]
        each.PixelData = np.stack(stored).astype("<i2").tobytes()
        measures, orientation, shared = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = each.PixelSpacing
        orientation.ImageOrientationPatient = each.ImageOrientationPatient
        shared.PixelMeasuresSequence = Sequence([measures])
        shared.PlaneOrientationSequence = Sequence([orientation])
        frames = []
        for k in order:
            place, frame = Dataset(), Dataset()
            place.ImagePositionPatient = [10, -20, 30 + 4 * k]
            frame.PlanePositionSequence = Sequence([place])
            frames.append(frame)
        each.SharedFunctionalGroupsSequence = Sequence([shared])
        each.PerFrameFunctionalGroupsSequence = Sequence(frames)
        for keyword in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
            delattr(each, keyword)
        return each

    return make


def test_enhanced_multi_frame_is_read_with_the_places_of_its_frames(sort, enhanced):
    _, images = sort([enhanced([2, 0, 1])])
    np.testing.assert_allclose(images["scan"].affine, AFFINE, atol=1e-5)
    for k in range(3):
        np.testing.assert_array_equal(images["scan"].stored[..., k], numbers(k))


def test_frames_at_one_position_are_channels(tmp_path, enhanced, write_series, read):
    folder = write_series(tmp_path / "scan", [enhanced([0, 1, 2, 2, 1, 0])])
    image = read(folder, channel="all").image
    assert image.stored.shape == (6, 5, 3, 2)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    for k in range(3):
        for channel in range(2):
            expected = numbers(k) + 1000 * channel
            np.testing.assert_array_equal(image.stored[..., k, channel], expected)


def test_frames_that_are_not_as_many_at_every_position_are_refused(
    tmp_path, enhanced, write_series, read
):
    with pytest.raises(BadCase, match="frame 3 and frame 4 at one position"):
        read(write_series(tmp_path / "scan", [enhanced([0, 1, 2, 2])]))


def test_slopes_that_differ_between_slices_give_intensities(sort, stack):
    slices = stack(Modality="PT")
    for k, each in enumerate(slices):
        each.RescaleSlope, each.RescaleIntercept = 0.5 + 0.25 * k, -k
    image = sort(slices)[1]["scan"]
    assert image.stored.dtype == np.float32
    assert image.slope_intercept == (1, 0)
    for k in range(4):
        expected = numbers(k) * (0.5 + 0.25 * k) - k
        np.testing.assert_allclose(image.intensities()[..., k], expected, rtol=1e-6)


def test_empty_elements_count_as_absent(sort, stack):
    slices = stack(NumberOfFrames=None, RescaleSlope=None, RescaleIntercept=None)
    assert sort(slices)[1]["scan"].slope_intercept == (1, 0)


def test_bits_that_are_not_stored_are_ignored(sort, stack):
    slices = stack(BitsStored=12, HighBit=11, PixelRepresentation=0)
    for each in slices:
        each.PixelData = (np.frombuffer(each.PixelData, "<u2") | 0xF000).astype("<u2").tobytes()
    np.testing.assert_array_equal(sort(slices)[1]["scan"].stored[..., 3], numbers(3))


def test_a_table_of_the_modality_is_applied(sort, stack):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [512, 0, 16], "US"
    table.add_new("LUTData", "OW", (2 * np.arange(512)[::-1]).astype("<u2").tobytes())
    slices = stack(PixelRepresentation=0, ModalityLUTSequence=Sequence([table]))
    for each in slices:
        del each.RescaleSlope, each.RescaleIntercept
    image = sort(slices)[1]["scan"]
    np.testing.assert_array_equal(image.intensities()[..., 1], 1022 - 2 * numbers(1))


def test_a_folder_of_two_volumes_is_no_single_scan(tmp_path, read, stack, write_series):
    folder = write_series(tmp_path / "two", stack(EchoTime=5.0) + stack(EchoTime=9.0))
    with pytest.raises(BadCase, match=r"one DICOM volume in the folder, found 2: two-echo5"):
        read(folder)


@pytest.mark.parametrize("left", [0, 300])
def test_a_damaged_slice_is_refused_by_name_beside_its_series(sort, stack, tmp_path, left):
    """Empty, or cut before it says what it is: without it the series would be short in silence."""
    found, _ = sort(stack())
    last = sorted((tmp_path / "raw/scan").iterdir())[-1]
    last.write_bytes(b"\0" * left)
    found, images = sort([], save=lambda *_: None)
    assert [(error.file, error.case) for error in found.refused] == [(last, f"scan_{last.name}")]
    assert "this slice" in found.refused[0].remedy
    assert [image.stored.shape[2] for image in images.values()] == [3]


def test_a_text_called_dcm_that_lies_with_no_slices_is_left_aside(sort, stack, tmp_path):
    (tmp_path / "raw/notes").mkdir(parents=True)
    (tmp_path / "raw/notes/mine.dcm").write_text("no scan")
    found, _ = sort(stack())
    assert (found.refused, list(named(found))) == ([], ["mine.dcm"])


def test_colours_by_a_palette_are_no_intensities(sort, stack):
    with pytest.raises(BadCase, match="one intensity per voxel, found colour"):
        sort(stack(PhotometricInterpretation="PALETTE COLOR"))


def test_dark_and_bright_high_numbers_are_no_series(sort, stack):
    slices = stack()
    slices[2].PhotometricInterpretation = "MONOCHROME1"
    with pytest.raises(BadCase, match="photometric interpretation the same") as caught:
        sort(slices)
    assert pydicom.dcmread(caught.value.file).PhotometricInterpretation == "MONOCHROME1"


def test_the_slice_of_another_size_is_named(sort, stack):
    slices = stack()
    slices[1].Rows, slices[1].PixelData = 4, slices[1].PixelData[: 4 * 6 * 2]
    with pytest.raises(BadCase, match="the size the same in every slice") as caught:
        sort(slices)
    assert pydicom.dcmread(caught.value.file).Rows == 4

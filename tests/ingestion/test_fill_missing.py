"""A DICOM series that lacks slices: refused with a remedy, and the remedy works."""

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest

from slicefill import api
from slicefill.command_line import main
from slicefill.geometry import shear
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom_gaps import regular_places
from slicefill.opening import read_one
from slicefill.params.ingestion import own_scans

THERE = (0, 1, 3, 4, 5, 8)  # of nine slices 4 mm apart


@pytest.fixture
def series(tmp_path, slice_of, write_series):
    return write_series(tmp_path / "series", [slice_of(k) for k in THERE])


@pytest.fixture
def whole(tmp_path, slice_of, write_series):
    return write_series(tmp_path / "whole", [slice_of(k) for k in range(9)])


@pytest.mark.parametrize(
    ("along", "places"),
    [
        ([0, 4, 8, 16.1], [0, 1, 2, 4]),
        ([0, 2.5, 5, 7.5, 12.5, 17.5, 22.5], [0, 1, 2, 3, 5, 7, 9]),
        ([0, 3, 5, 8], [0, 3, 5, 8]),  # 1 mm is the largest step that all share
        ([0, 4, 8, 12, 31], None),  # so wide a gap is no missing slice
        ([0, 4, 4, 8], None),
        ([0, 4, 9.13, 11.71, 17.3], None),
    ],
)
def test_the_coarsest_regular_grid_that_has_all_slices(along, places):
    found = regular_places(np.array(along, float), 0.05)
    assert places is None if found is None else found.tolist() == places


def test_steps_that_drift_are_counted_one_by_one():
    """After a hundred steps of 3.9 mm where 4 is typical, places are not off by two."""
    steps = np.tile([3.9, 4.0, 4.1, 4.0], 25)
    steps[50] = 8
    places = regular_places(np.concatenate([[0], np.cumsum(steps)]), 0.1)
    assert places.tolist() == [*range(51), *range(52, 102)]


def test_absent_slices_are_read_as_zeros_at_their_places(series, whole, read):
    case = read(series, missing_slices="impute")
    truth = read(whole)
    assert case.absent == (2, 6, 7)
    assert not case.image.stored[..., case.absent].any()
    np.testing.assert_array_equal(case.image.stored[..., THERE], truth.image.stored[..., THERE])
    np.testing.assert_allclose(case.image.affine, truth.image.affine, atol=1e-6)
    assert read(whole, missing_slices="impute").absent == ()


@pytest.mark.parametrize(("labelled", "refused"), [((2, 4, 6), False), ((2, 8, 14), True)])
def test_a_label_map_may_be_blank_where_slices_are_absent(
    tmp_path, slice_of, write_series, write, read, labelled, refused
):
    """Of the slices that are there, 2, 4 and 6 lie side by side; 2, 8 and 14 do not."""
    there = [*range(0, 18, 2), 17]
    folder = write_series(tmp_path / "uneven", [slice_of(k) for k in there])
    image = read(folder, missing_slices="impute").image
    stored = np.zeros(image.stored.shape, np.uint8)
    stored[2:4, 2:4, list(labelled)] = 1
    label = write("label.nii.gz", stored, image.affine)
    if refused:
        with pytest.raises(BadCase, match=r"labels on slices 2, 8, 14, … alone, 3 of 18"):
            read(folder, label, missing_slices="impute")
    else:
        assert read(folder, label, missing_slices="impute").label.stored.any()


def test_the_refusal_names_the_remedy_only_where_it_works(series, read, slice_of, write_series):
    with pytest.raises(
        BadCase, match="add the missing slices, or have them imputed: slicefill impute --fill"
    ):
        read(series)
    twice = write_series(series.parent / "twice", [slice_of(k) for k in (0, 1, 1, 2)])
    for way in ("refuse", "impute"):
        with pytest.raises(
            BadCase, match=r"at one position; remove the one of them that does not belong there"
        ):
            read(twice, missing_slices=way)


def test_from_the_command_line_to_a_file_that_verifies(series, whole, capsys):
    options = ["--method", "linear", "--count", "1"]
    assert main(["impute", str(series), *options]) == 3
    assert "--fill-missing" in capsys.readouterr().err
    assert main(["impute", str(series), *options, "--fill-missing", "--dicom"]) == 0
    said = capsys.readouterr().out
    assert "6 → 17 slices" in said
    assert "of 9 slices, 3 are absent and imputed (from 0: 2, 6, 7)" in said
    (made,) = series.parent.glob("*.nii.gz")
    record = json.loads(made.with_name(made.name.replace(".nii.gz", ".json")).read_text())
    assert record["source"]["absent_slices"] == [2, 6, 7]
    stored = np.asarray(nib.load(made).dataobj.get_unscaled())
    truth = api.read(whole).image.stored
    np.testing.assert_array_equal(stored[..., [2 * k for k in THERE]], truth[..., list(THERE)])
    # numbers rise by 100 from slice to slice: linear interpolation at the true places finds them
    np.testing.assert_allclose(stored[..., ::2], truth, atol=1)
    assert main(["verify", str(made), "--against", str(series)]) == 0
    _check_series(next(path for path in series.parent.glob("*dicom*") if path.is_dir()))


def test_what_was_filled_is_not_taken_for_what_a_call_without_it_would_make(
    series, slice_of, write_series, capsys
):
    slices = [slice_of(k) for k in range(5)]
    for each in slices:
        each.SeriesInstanceUID = "1.2.3"
    write_series(series.parent / "even", slices)
    out = series.parent / "out"
    call = [
        "impute",
        str(series.parent),
        str(out),
        "--method",
        "linear",
        "--count",
        "1",
        "--record",
    ]
    assert main(call) == 3
    assert "even: " in capsys.readouterr().out
    fill = [*call, "--fill-missing"]
    assert main(fill) == 0
    said = capsys.readouterr().out
    assert "even: there already" in said
    assert "3 are absent and imputed" in said
    for again in (fill, [*fill, "--dry-run"]):
        assert main(again) == 0
        assert "series: there already" in capsys.readouterr().out
    assert main(call) == 3
    assert "add the missing slices" in capsys.readouterr().err
    assert main(fill) == 0
    assert "series: there already" in capsys.readouterr().out


def test_a_tilted_series_comes_onto_an_orthogonal_grid_in_two_calls_as_it_is_told(
    tmp_path, slice_of, write_series, capsys
):
    slices = [slice_of(k, np.eye(3)) for k in range(6)]
    for one, place in zip(slices, THERE, strict=True):
        one.ImagePositionPatient = [10, -20 + 0.8 * place, 30 + 4 * place]
    folder = write_series(tmp_path / "tilted", slices)
    call = ["--method", "linear", "--count", "3"]
    assert main(["impute", str(folder), *call, "--fill-missing"]) == 0
    said = capsys.readouterr().out
    remedy = "impute what it lacks alone (--fill-missing --spacing 4.08), then the NIfTI file"
    assert remedy in said
    assert "--orthogonal resamples it" not in said
    both = [*call, "--fill-missing", "--orthogonal"]
    assert main(["impute", str(folder), str(tmp_path / "both.nii.gz"), *both]) == 3
    assert remedy in capsys.readouterr().err
    alone, straight = tmp_path / "alone.nii.gz", tmp_path / "straight.nii.gz"
    first = ["--method", "linear", "--fill-missing", "--spacing", "4.08"]
    assert main(["impute", str(folder), str(alone), *first]) == 0
    assert nib.load(alone).shape[2] == 9
    assert main(["impute", str(alone), str(straight), *call, "--orthogonal"]) == 0
    assert shear(nib.load(straight).affine) < 1e-4


def _check_series(folder):
    files = sorted(folder.glob("*.dcm"))
    slices = sorted((pydicom.dcmread(path) for path in files), key=lambda one: one.InstanceNumber)
    assert len(slices) == 17
    places = np.array([one.ImagePositionPatient for one in slices], float)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    np.testing.assert_allclose(steps, 2, atol=1e-4)
    sources = [len(one.SourceImageSequence) for one in slices]
    acquired = [k for k in range(17) if sources[k] == 1]
    assert sorted(16 - k for k in acquired) == [2 * k for k in THERE]  # numbers fall with position


def write_label(path, stored, affine):
    nib.save(nib.Nifti1Image(stored.astype(np.uint8), affine), path)
    return str(path)


@pytest.mark.parametrize("step", [4, 6.4])
def test_a_label_map_of_the_acquired_slices_alone_is_put_in_place(series, tmp_path, step):
    """What it says of their distance does not count: they lie at several."""
    own = np.random.default_rng(0).integers(0, 3, (6, 5, len(THERE)))
    affine = read_one(series, None, own_scans("impute")).image.affine @ np.diag([1, 1, step / 4, 1])
    label = write_label(tmp_path / "label.nii.gz", own, affine)
    case = read_one(series, label, own_scans("impute"))
    np.testing.assert_array_equal(case.label.stored[..., THERE], own)
    assert case.label.stored.shape == (6, 5, 9)
    np.testing.assert_allclose(case.label.affine, case.image.affine, atol=1e-5)
    made = api.impute(str(series), label, method="linear", count=1, fill_missing=True)
    dense = np.asarray(made.label.dataobj)
    np.testing.assert_array_equal(dense[..., [2 * k for k in THERE]], own)
    assert api.verify(made, case) == []


def test_a_label_map_that_fits_neither_way_is_told_which_slices_are_absent(series, tmp_path):
    affine = read_one(series, None, own_scans("impute")).image.affine
    told = r"places, 3 of them absent \(from 0: 2, 6, 7\).*one of the 6 acquired slices alone"
    turned = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 8], [0, 0, 0, 1]])
    beside = affine @ np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for depth, grid in ((5, affine), (6, turned), (6, beside)):
        label = write_label(tmp_path / "label.nii.gz", np.ones((6, 5, depth)), grid)
        with pytest.raises(BadCase, match=told):
            read_one(series, label, own_scans("impute"))


def test_in_python_too(series):
    with pytest.raises(BadCase, match="fill_missing=True"):
        api.impute(str(series), method="linear", count=1)
    made = api.impute(str(series), method="linear", count=1, fill_missing=True)
    assert made.shape == (6, 5, 17)
    assert api.verify(made, str(series)) == []


def test_uneven_steps_become_even_and_nothing_else_need_be_imputed(
    tmp_path, slice_of, write_series, capsys
):
    """2.5 mm, then 5 mm, in pixels of 0.7 mm: 2.5 mm throughout would do, and more is made."""
    slices = [slice_of(k, np.eye(3)) for k in range(6)]
    for one, z in zip(slices, (0, 2.5, 5, 7.5, 12.5, 17.5), strict=True):
        one.ImagePositionPatient = [10, -20, 30 + z]
        one.PixelSpacing = [3, 3]  # wider than the slices are apart: nothing but gaps is imputed
    folder = write_series(tmp_path / "uneven", slices)
    assert main(["impute", str(folder), "--method", "linear", "--fill-missing"]) == 0
    assert "6 → 8 slices" in capsys.readouterr().out
    (made,) = tmp_path.glob("*.nii.gz")
    image = nib.load(made)
    assert image.header.get_zooms()[2] == pytest.approx(2.5)
    first = np.asarray(image.dataobj.get_unscaled())[0, 0]
    assert first.tolist() == [0, 100, 200, 300, 350, 400, 450, 500]


def test_a_kedro_run_trains_on_filled_slices_and_knows_which_they_are(series, params):
    from slicefill.ingestion.found import RawCase
    from slicefill.pipelines.ingestion import _import_case

    case = _import_case(
        RawCase("c1", tuple(series.iterdir()), None), params(missing_slices="impute")
    )
    assert case.absent == (2, 6, 7)
    assert case.image.stored.shape == (6, 5, 9)
    assert case.image.stored[..., case.absent].any(axis=(0, 1)).all()

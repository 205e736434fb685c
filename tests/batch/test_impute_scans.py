"""A folder of scans in, a folder of imputed scans out, and a table of what happened."""

import os
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from slicefill.api import read, verify
from slicefill.batch.find import find_scans
from slicefill.batch.impute import Order, impute_scans
from slicefill.batch.left_over import table_row
from slicefill.batch.pairs import list_left_over, list_outputs
from slicefill.batch.rehearse import rehearse_scans
from slicefill.batch.table import Row, append_row, read_table
from slicefill.batch.tasks import TABLE, make_plan
from slicefill.imputation.imputers import classical_imputer
from slicefill.ingestion.found import RawCase
from slicefill.io import storage
from slicefill.io.case_folder import write_volume
from slicefill.io.exchange import from_array
from slicefill.params import SERIAL
from slicefill.params.imputation import imputation_params
from slicefill.types import Case

LINEAR = Order(lambda params: classical_imputer("linear", params), imputation_params(count=2))


@pytest.fixture
def scans(case, tmp_path):
    """Two scans, one with a label map, and a damaged one."""
    folder = tmp_path / "scans"
    for name in ("one", "two", "broken"):
        write_volume(case().image, folder / "images" / f"{name}.nii.gz")
    write_volume(case().label, folder / "labels" / "one.nii.gz")
    whole = (folder / "images" / "broken.nii.gz").read_bytes()
    (folder / "images" / "broken.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder


def ignore(row, text):
    """Stand in where nothing is to be said."""


def run(source, out, order=LINEAR, further=()):
    told = []
    with find_scans(source) as found:
        plan = make_plan(source, out, found.cases, further)
        rows = impute_scans(plan, order, SERIAL, told.append)
    assert {row.case for row in told if row.status != "left over"} == set(rows)
    return rows


def test_every_scan_has_a_row_and_a_damaged_one_does_not_stop_the_others(scans, tmp_path):
    rows = run(scans, tmp_path / "out", further=["mask", "confidence", "record"])
    statuses = {name: row.status for name, row in rows.items()}
    assert statuses == {"broken": "refused", "one": "imputed", "two": "imputed"}
    assert "readable NIfTI" in rows["broken"].reason
    written = {path.name for path in (tmp_path / "out").iterdir()}
    endings = [".nii.gz", "_mask.nii.gz", "_confidence.nii.gz", ".json"]
    expected = {f"{name}_isotropic{ending}" for name in ("one", "two") for ending in endings}
    assert written == expected | {"one_isotropic_label.nii.gz", TABLE}
    assert read_table(tmp_path / "out" / TABLE) == rows


def test_what_is_written_holds_every_acquired_slice(scans, tmp_path):
    run(scans, tmp_path / "out", further=["mask"])
    source = read(scans / "images" / "one.nii.gz", scans / "labels" / "one.nii.gz")
    image = tmp_path / "out" / "one_isotropic.nii.gz"
    imputed = read(image, tmp_path / "out" / "one_isotropic_label.nii.gz")
    assert verify(imputed, source) == []
    assert imputed.image.stored.shape[2] == 3 * (source.image.stored.shape[2] - 1) + 1


def test_a_second_call_makes_only_what_is_missing(scans, tmp_path):
    run(scans, tmp_path / "out")
    (tmp_path / "out" / "two_isotropic.nii.gz").unlink()
    before = (tmp_path / "out" / "one_isotropic.nii.gz").stat().st_mtime_ns
    rows = run(scans, tmp_path / "out")
    assert (rows["one"].status, rows["two"].status) == ("kept", "imputed")
    assert (tmp_path / "out" / "one_isotropic.nii.gz").stat().st_mtime_ns == before
    assert read_table(tmp_path / "out" / TABLE)["one"].status == "imputed"


def test_outputs_of_another_setting_are_replaced_only_if_asked(scans, tmp_path):
    out = tmp_path / "out"
    run(scans, out, further=["confidence"])
    before = (out / "one_isotropic.nii.gz").read_bytes()
    other = Order(LINEAR.load, imputation_params(count=1))
    rows = run(scans, out, other)
    assert rows["one"].status == "refused"
    assert "--overwrite" in rows["one"].reason
    assert (out / "one_isotropic.nii.gz").read_bytes() == before
    assert run(scans, out, further=["confidence"])["one"].status == "kept"
    rows = run(scans, out, Order(LINEAR.load, other.params, overwrite=True))
    assert rows["one"].status == "imputed"
    assert (out / "one_isotropic.nii.gz").read_bytes() != before
    assert not (out / "one_isotropic_confidence.nii.gz").exists()  # it was of the other setting


def test_files_that_no_call_wrote_are_never_removed(case, tmp_path):
    """Not even with overwrite: an input, a sidecar, a label map that lie where outputs might."""
    for name in ("in/a_mask", "in/a_dicom/1"):
        write_volume(case().image, tmp_path / f"{name}.nii.gz")
    for name in ("in/a.json", "in/a_label.nii.gz"):
        (tmp_path / name).write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = Order(LINEAR.load, LINEAR.params, overwrite=True)
    rows = run(tmp_path / "in" / "a_mask.nii.gz", tmp_path / "in" / "a.nii.gz", again)
    assert rows["a_mask"].status == "imputed"
    assert {path: path.read_bytes() for path in before} == before


def foreign(folder, what):
    """Put a file of the user's where an output of scan `two` might lie."""
    path = folder / f"two_isotropic{what}"
    path.write_bytes(b"mine")
    return path


OTHERWISE = replace(LINEAR, params=imputation_params(count=1))


@pytest.mark.parametrize("single", [False, True])
def test_what_is_replaced_takes_with_it_what_an_earlier_call_wrote_and_nothing_else(
    scans, tmp_path, single
):
    """Of a folder the table says what that was, of a single file the record."""
    out = tmp_path / "out"
    source = scans / "images" / "two.nii.gz" if single else scans
    place = out / "two_isotropic.nii.gz" if single else out
    out.mkdir()
    run(source, place, further=["mask", "record"])
    label, confidence = foreign(out, "_label.nii.gz"), foreign(out, "_confidence.nii.gz")
    row = run(source, place, replace(OTHERWISE, overwrite=True), further=["confidence"])["two"]
    assert row.status == "imputed"
    assert row.reason == "two_isotropic_label.nii.gz beside it: not of this call"
    assert label.read_bytes() == b"mine"
    assert confidence.read_bytes() != b"mine"  # it was asked for
    assert not (out / "two_isotropic_mask.nii.gz").exists()
    assert not (out / "two_isotropic.json").exists()


def test_what_would_be_out_of_date_is_in_the_way_unless_it_may_be_replaced(scans, tmp_path):
    """Also where the image itself was deleted."""
    out = tmp_path / "out"
    run(scans, out, further=["mask"])
    (out / "two_isotropic.nii.gz").unlink()
    row = run(scans, out, OTHERWISE)["two"]
    assert (row.status, "two_isotropic_mask.nii.gz exists already" in row.reason) == (
        "refused",
        True,
    )
    assert (out / "two_isotropic_mask.nii.gz").exists()
    assert run(scans, out, replace(OTHERWISE, overwrite=True))["two"].status == "imputed"
    assert not (out / "two_isotropic_mask.nii.gz").exists()


@pytest.mark.parametrize("what", ["_mask.nii.gz", "_confidence.nii.gz", ".json"])
def test_a_file_that_no_call_wrote_is_neither_adopted_nor_replaced_unasked(scans, tmp_path, what):
    out, further = tmp_path / "out", ["mask", "confidence", "record"]
    run(scans, out)
    mine = foreign(out, what)
    asked = {"_mask.nii.gz": "mask", "_confidence.nii.gz": "confidence", ".json": "record"}[what]
    for outputs in ([asked], further):
        row = run(scans, out, further=outputs)["two"]
        assert (row.status, f"{mine} exists already" in row.reason) == ("refused", True)
        assert mine.read_bytes() == b"mine"
    again = replace(LINEAR, overwrite=True)
    assert run(scans, out, again, further=further)["two"].status == "imputed"
    assert mine.read_bytes() != b"mine"


def test_outputs_of_several_calls_of_one_setting_are_all_known(scans, tmp_path):
    for further in (["mask"], ["confidence"]):
        assert run(scans, tmp_path / "out", further=further)["two"].status == "imputed"
    row = run(scans, tmp_path / "out", further=["mask", "confidence"])["two"]
    assert (row.status, row.reason) == ("kept", "")


@pytest.mark.parametrize("then", [None, "read_scan"])
def test_what_failed_while_it_was_written_goes_on(scans, tmp_path, monkeypatch, then):
    """Also where the call in between failed earlier."""
    from slicefill.io import scan_files

    def write_some(volume, path, write=scan_files.write_scan):
        if path.name == "two_isotropic.nii.gz":
            raise OSError("No space left on device")
        write(volume, path)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(scan_files, "write_scan", write_some)
        row = run(scans, out, further=["mask"])["two"]
    assert (row.status, row.output) == ("failed", "")
    assert (out / "two_isotropic_mask.nii.gz").exists()
    if then is not None:
        with monkeypatch.context() as patched:
            patched.setattr("slicefill.batch.impute.read_scan", lambda *_, **__: 1 / 0)
            assert run(scans, out, further=["mask"])["two"].status == "failed"
    assert run(scans, out)["two"].status == "imputed"
    assert run(scans, out, further=["mask"])["two"].status == "kept"  # it is no old one


def test_a_label_map_that_a_method_does_not_impute_is_not_missed(scans, tmp_path, monkeypatch):
    from slicefill.batch import impute

    def unlabelled(*arguments, whole=impute.impute_named):
        return replace(whole(*arguments), label=None)

    monkeypatch.setattr(impute, "impute_named", unlabelled)
    statuses = [run(scans, tmp_path / "out")["one"].status for _ in range(2)]
    assert statuses == ["imputed", "kept"]


def test_a_call_that_was_killed_while_it_wrote_knows_its_own_files(scans, tmp_path, monkeypatch):
    from slicefill.io import scan_files

    class Killed(BaseException):
        pass

    def write_two(volume, path, write=scan_files.write_scan):
        if path.name == "one_isotropic.nii.gz":
            raise Killed
        write(volume, path)

    with monkeypatch.context() as patched:
        patched.setattr(scan_files, "write_scan", write_two)
        with pytest.raises(Killed):
            run(scans, tmp_path / "out", further=["mask"])
    assert (tmp_path / "out" / "one_isotropic_mask.nii.gz").exists()
    rows = run(scans, tmp_path / "out", further=["mask"])
    assert {row.status for name, row in rows.items() if name != "broken"} == {"imputed"}


def test_two_calls_into_one_folder_keep_each_others_rows(scans, tmp_path):
    first = run(scans / "images" / "one.nii.gz", tmp_path / "out")
    second = run(scans / "images" / "two.nii.gz", tmp_path / "out")
    assert read_table(tmp_path / "out" / TABLE) == {**first, **second}


def test_outputs_that_lie_among_the_scans_are_no_scans(scans):
    for _ in range(2):
        out = scans / "images" / "out"
        with find_scans(scans, out=out) as found:
            plan = make_plan(scans, out, found.cases, [])
            rows = impute_scans(plan, LINEAR, SERIAL, lambda row: None)
        assert set(rows) == {"broken", "one", "two"}
    with (
        pytest.raises(ValueError, match="another folder than that of the scans"),
        find_scans(scans, out=scans),
    ):
        pass


def test_a_scan_that_is_dense_already_is_said_and_not_written(case, tmp_path):
    write_volume(case().image, tmp_path / "a.nii.gz")
    rows = run(tmp_path / "a.nii.gz", None, Order(LINEAR.load, imputation_params(count=0)))
    assert rows["a"].status == "dense already"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_more_outputs_of_the_same_setting_are_added(scans, tmp_path):
    run(scans, tmp_path / "out")
    before = (tmp_path / "out" / "one_isotropic.nii.gz").read_bytes()
    assert run(scans, tmp_path / "out", further=["mask"])["one"].status == "imputed"
    assert (tmp_path / "out" / "one_isotropic_mask.nii.gz").exists()
    assert (tmp_path / "out" / "one_isotropic.nii.gz").read_bytes() == before


def test_a_table_holds_any_name_and_the_last_row_of_a_case_counts(tmp_path):
    from slicefill.batch.table import Row

    path = tmp_path / "out" / TABLE
    rows = [
        Row("NA", "refused", reason='a "quote", a comma'),
        Row("患者甲", "imputed", seconds=1.5),
    ]
    for row in (Row("NA", "failed"), *rows):
        append_row(path, row)
    assert list(read_table(path).values()) == rows
    other = tmp_path / "slicefill.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="got another file"):
        read_table(other)


def test_a_row_that_a_full_disk_cut_short_does_not_swallow_the_next(tmp_path):
    path = tmp_path / TABLE
    append_row(path, Row("a", "imputed"))
    path.write_bytes(path.read_bytes() + b"b,begun,scan")
    append_row(path, Row("c", "imputed", seconds=1.5))
    assert read_table(path)["c"] == Row("c", "imputed", seconds=1.5)
    path.write_text(path.read_text() + "d,imputed,,,,,,,many\n")
    with pytest.raises(ValueError, match=r"slicefill\.csv: .*a damaged one .*; move it"):
        read_table(path)


def test_methods_that_draw_do_so_by_the_name_of_the_case_not_by_the_order(scans, tmp_path):
    both = run(scans, tmp_path / "out")
    alone = run(scans / "images" / "two.nii.gz", tmp_path / "single" / "two.nii.gz")
    first, second = tmp_path / "out" / "two_isotropic.nii.gz", tmp_path / "single" / "two.nii.gz"
    assert both["two"].status == alone["two"].status == "imputed"
    np.testing.assert_array_equal(read(first).image.stored, read(second).image.stored)


def statuses(out):
    return {name: row.status for name, row in read_table(out / TABLE).items()}


def test_what_is_no_longer_found_or_refused_is_marked_and_comes_back(scans, tmp_path):
    out = tmp_path / "out"
    (scans / "images" / "broken.nii.gz").unlink()
    run(scans, out)
    assert statuses(out) == {"one": "imputed", "two": "imputed"}
    one, two = (scans / "images" / f"{name}.nii.gz" for name in ("one", "two"))
    whole = one.read_bytes()
    one.write_bytes(whole[:-20])
    two.rename(tmp_path / "two.nii.gz")
    rows = run(scans, out)
    assert statuses(out) == {"one": "refused", "two": "left over"}
    assert rows["one"].output == "one_isotropic.nii.gz"
    assert list_outputs(out) == []
    assert set(list_left_over(out)) == {"one_isotropic.nii.gz", "two_isotropic.nii.gz"}
    one.write_bytes(whole)
    (tmp_path / "two.nii.gz").rename(two)
    assert {row.status for row in run(scans, out).values()} == {"kept"}
    assert statuses(out) == {"one": "imputed", "two": "imputed"}
    assert list_left_over(out) == {}


def test_scans_of_another_folder_are_not_left_over(scans, tmp_path):
    run(scans, tmp_path / "out")
    write_volume(read(scans / "images" / "two.nii.gz").image, tmp_path / "more" / "three.nii.gz")
    run(tmp_path / "more", tmp_path / "out")
    assert statuses(tmp_path / "out")["two"] == "imputed"


def test_a_scan_that_would_become_too_large_is_refused(scans, tmp_path):
    order = Order(LINEAR.load, imputation_params(count=999, most_slices=500))
    rows = run(scans, tmp_path / "out", order)
    assert rows["two"].status == "refused"
    assert rows["two"].reason.startswith("two.nii.gz: expected at most 500 slices")
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_what_failed_is_not_taken_for_the_output_of_an_earlier_call():
    """Its files may have been written in part."""
    before = Row("one", "imputed", output="one.nii.gz", fingerprint="f")
    known = {"one": before}
    failed = table_row(Row("one", "failed", reason="disk full"), known)
    assert (failed.output, failed.fingerprint) == ("one.nii.gz", "")
    refused = table_row(Row("one", "refused", reason="damaged"), known)
    assert (refused.output, refused.fingerprint) == ("one.nii.gz", "f")


def test_a_rehearsal_names_a_link_to_nothing_as_a_call_does(scans, tmp_path):
    (scans / "images" / "gone.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    with find_scans(scans) as found:
        plan = make_plan(scans, tmp_path / "out", found.cases, [])
        rows = rehearse_scans(plan, LINEAR, ignore)
    assert rows["gone"].status == "refused"
    assert "a link to nothing" in rows["gone"].reason
    assert "a link to nothing" in run(scans, tmp_path / "out")["gone"].reason


@pytest.mark.parametrize("middle", ["background", "padding and air", "two channels"])
def test_a_rehearsal_of_a_scan_with_an_empty_middle_says_what_a_call_does(tmp_path, middle):
    """As between two knees."""
    shape = (12, 12, 15, 2) if middle == "two channels" else (12, 12, 15)
    knees = np.random.default_rng(0).integers(1, 99, shape).astype(np.int16)
    knees[:, :, 4:11] = 0
    if middle == "two channels":
        knees[:, :, 4:11, 1] = 5
    if middle == "padding and air":
        knees -= 1000
        knees[:3] = -3024
    source = tmp_path / "in"
    source.mkdir()
    nib.save(nib.Nifti1Image(knees, np.diag([1, 1, 3, 1])), source / "knees.nii.gz")
    with find_scans(source) as found:
        plan = make_plan(source, tmp_path / "out", found.cases, [])
        row = rehearse_scans(plan, LINEAR, ignore)["knees"]
    assert (row.status, row.slices_in) == ("imputed", 15)
    made = run(source, tmp_path / "out")["knees"]
    assert made.slices_out == row.slices_out


def test_a_rehearsal_of_a_dense_series_that_lacks_slices_imputes_those(tmp_path, monkeypatch):
    grid = np.random.default_rng(0).integers(0, 99, (12, 12, 9)).astype(np.int16)
    lacking = Case(from_array(grid, (1, 1, 1)), record={"absent_slices": [3, 4]})
    monkeypatch.setattr("slicefill.batch.rehearse.read_scan", lambda *_, **__: lacking)
    raw = RawCase("series", (tmp_path / "1.dcm",), None)
    plan = make_plan(tmp_path, tmp_path / "out", [raw], [])
    order = replace(LINEAR, params=imputation_params(), fill_missing=True)
    rows = rehearse_scans(plan, order, ignore)
    assert (rows["series"].status, rows["series"].slices_out) == ("imputed", 9)


def test_a_series_that_lacks_slices_is_refused_across_another_axis(tmp_path, monkeypatch):
    grid = np.random.default_rng(0).integers(0, 99, (12, 12, 9)).astype(np.int16)
    lacking = Case(from_array(grid, (1, 1, 1)), record={"absent_slices": [3, 4]})
    monkeypatch.setattr("slicefill.batch.impute.read_scan", lambda *_, **__: lacking)
    (tmp_path / "1.dcm").touch()
    plan = make_plan(
        tmp_path, tmp_path / "out", [RawCase("series", (tmp_path / "1.dcm",), None)], []
    )
    order = replace(LINEAR, params=imputation_params(through_plane="A"), fill_missing=True)
    row = impute_scans(plan, order, SERIAL, lambda _: None)["series"]
    assert row.status == "refused"
    assert "leave --orthogonal and --axis out" in row.reason


def test_a_rehearsal_calls_failed_what_a_call_would(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no luck")

    monkeypatch.setattr("slicefill.batch.rehearse.read_scan", broken)
    plan = make_plan(tmp_path, tmp_path / "out", [RawCase("a", tmp_path / "a.nii", None)], [])
    row = rehearse_scans(plan, LINEAR, ignore)["a"]
    assert (row.status, row.reason) == ("failed", "RuntimeError: no luck")


def test_a_rehearsal_lets_no_planes_learn(scans, tmp_path):
    def load(params):
        assert params is LINEAR.params
        return replace(classical_imputer("linear", params), teach=lambda *_: pytest.fail("learned"))

    seen = []
    order = Order(load, LINEAR.params)
    with pytest.MonkeyPatch.context() as patched, find_scans(scans) as found:
        patched.setattr(
            "slicefill.batch.rehearse.impute_scan",
            lambda case, imputer, params, row: seen.append(imputer.teach) or (None, row),
        )
        rehearse_scans(make_plan(scans, tmp_path / "out", found.cases, []), order, ignore)
    assert seen == [None, None]


def test_a_rehearsal_refuses_what_could_not_be_written(scans, monkeypatch):
    from slicefill.ingestion.checks import BadCase

    def refuse(*_):
        raise BadCase(expected="one slope", found="several", remedy="leave out --dicom")

    monkeypatch.setattr("slicefill.batch.rehearse.check_outputs", refuse)
    with find_scans(scans / "images" / "one.nii.gz") as found:
        plan = make_plan(scans / "images" / "one.nii.gz", None, found.cases, [])
        row = rehearse_scans(plan, LINEAR, ignore)["one"]
    assert (row.status, row.reason) == (
        "refused",
        "expected one slope, found several; leave out --dicom",
    )


def test_a_scan_of_one_slice_is_left_aside_and_a_constant_one_refused(case, tmp_path):
    whole = case().image
    write_volume(whole, tmp_path / "scans" / "whole.nii.gz")
    write_volume(whole.with_stored(whole.stored[..., :1]), tmp_path / "scans" / "flat.nii.gz")
    blank = whole.with_stored(np.zeros_like(whole.stored))
    write_volume(blank, tmp_path / "scans" / "blank.nii.gz")
    (tmp_path / "scans" / "loop.nii.gz").symlink_to("loop.nii.gz")
    statuses = {name: row.status for name, row in run(tmp_path / "scans", None).items()}
    refused = dict.fromkeys(("blank", "loop"), "refused")
    assert statuses == {"whole": "imputed", "flat": "left aside", **refused}


def test_a_single_file_is_known_again_by_the_record_beside_it(case, tmp_path):
    scan = tmp_path / "scan.nii.gz"
    write_volume(case().image, scan)
    for further, second in ((["record"], "kept"), ([], "refused")):
        out = tmp_path / f"out{len(further)}.nii.gz"
        statuses = [run(scan, out, further=further)["scan"].status for _ in range(2)]
        assert statuses == ["imputed", second]
    other = Order(LINEAR.load, imputation_params(count=1))
    assert run(scan, tmp_path / "out1.nii.gz", other)["scan"].status == "refused"


def test_a_single_file_that_was_not_written_whole_is_not_taken_for_made(
    case, tmp_path, monkeypatch
):
    """Killed while it replaced what an earlier call made: the record would say all is there."""
    from slicefill.io import scan_files

    scan, out = tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz"
    write_volume(case().image, scan)
    run(scan, out, further=["record"])
    other = Order(LINEAR.load, imputation_params(count=1), overwrite=True)
    with monkeypatch.context() as patched:
        patched.setattr(scan_files, "write_scan", lambda *_: 1 / 0)
        assert run(scan, out, other, further=["record"])["scan"].status == "failed"
    again = run(scan, out, replace(other, overwrite=False), further=["record"])["scan"]
    assert again.status == "refused"
    assert run(scan, out, other, further=["record"])["scan"].status == "imputed"


def test_what_was_begun_and_then_not_found_is_made_again(scans, tmp_path, monkeypatch):
    from slicefill.io import scan_files

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    out, two = tmp_path / "out", scans / "images" / "two.nii.gz"
    run(scans, out)
    other = Order(LINEAR.load, imputation_params(count=1), overwrite=True)
    with monkeypatch.context() as patched:
        patched.setattr(scan_files, "write_scan", die)
        with pytest.raises(Killed):
            run(two, out, other)
    two.rename(tmp_path / "two.nii.gz")
    run(scans, out, other)
    (tmp_path / "two.nii.gz").rename(two)
    assert run(scans, out, other)["two"].status == "imputed"
    assert verify(out / "two_isotropic.nii.gz", two) == []


def test_files_of_an_earlier_call_beside_the_output_are_named(case, tmp_path):
    """Without a record nobody knows whose they are: they stay, and are no longer of the image."""
    scan, out = tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz"
    write_volume(case().image, scan)
    run(scan, out, further=["mask"])
    row = run(scan, out, Order(LINEAR.load, imputation_params(count=1), overwrite=True))["scan"]
    assert row.reason == "out_mask.nii.gz beside it: not of this call"


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    living = storage._beside(tmp_path / "a.nrrd")
    dead = living.with_name(living.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-"))
    living.mkdir()
    dead.mkdir()
    assert storage.remove_unfinished(tmp_path, "b.nrrd") == 0
    assert storage.remove_unfinished(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [living]

"""A call that stopped goes on when it is given again, and replaces nothing that is not its own."""

from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest

from slicefill.api import read, verify
from slicefill.batch.earlier import find_made
from slicefill.batch.find import find_scans
from slicefill.batch.impute import Order, impute_scans
from slicefill.batch.table import Row, read_table
from slicefill.batch.tasks import TABLE, Task, make_plan
from slicefill.imputation.imputers import classical_imputer
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import RawCase
from slicefill.io import scan_files
from slicefill.io.case_folder import write_volume
from slicefill.params import SERIAL, ExecutorParams
from slicefill.params.imputation import imputation_params

from .killed import load

LINEAR = Order(partial(classical_imputer, "linear"), imputation_params(count=2))
OTHERWISE = replace(LINEAR, params=imputation_params(count=1), overwrite=True)
BOTH = ["mask", "confidence"]
IMAGE, LABEL, MASK, CONFIDENCE = (
    f"a_isotropic{ending}"
    for ending in (".nii.gz", "_label.nii.gz", "_mask.nii.gz", "_confidence.nii.gz")
)
MINE = b"drawn by hand"


class Killed(BaseException):
    """A process that ends cleans nothing up."""


@pytest.fixture
def scans(case, tmp_path):
    """A scan with its label map."""
    write_volume(case().image, tmp_path / "scans" / "images" / "a.nii.gz")
    write_volume(case().label, tmp_path / "scans" / "labels" / "a.nii.gz")
    return tmp_path / "scans"


def run(source, out, order=LINEAR, further=(), executor=SERIAL):
    with find_scans(source) as found:
        plan = make_plan(source, out, found.cases, further)
        return impute_scans(plan, order, executor, lambda _: None)["a"]


def stop(monkeypatch, error, after, call):
    """Make a call that stops once it has written so many files; whether it wrote that many."""
    written = []

    def write_some(volume, path, write=scan_files.write_scan):
        if len(written) == after:
            raise error
        write(volume, path)
        written.append(path.name)

    with monkeypatch.context() as patched:
        patched.setattr(scan_files, "write_scan", write_some)
        try:
            return call().status == "failed"
        except Killed:
            return True


def contents(folder):
    """Content and time of what lies in a folder, but for the table and records."""
    files = [path for path in folder.iterdir() if path.suffix == ".gz"]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("error", [Killed(), OSError("No space left on device")])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("first", "then"), [(None, BOTH), ([], BOTH), (["mask"], ["confidence"]), (["mask"], BOTH)]
)
def test_the_same_call_given_again_goes_on(scans, tmp_path, monkeypatch, first, then, after, error):
    out = tmp_path / "out"
    if first is not None:
        run(scans, out, further=first)
    again = partial(run, scans, out, further=then)
    earlier = contents(out) if first is not None else {}
    stop(monkeypatch, error, after, again)
    assert again().status in ("imputed", "kept")
    assert again().status == "kept"
    assert earlier.items() <= contents(out).items()  # nothing was written a second time
    everything = [*(first or []), *then]
    assert run(scans, out, further=everything).status == "kept"
    assert contents(out).keys() == {IMAGE, LABEL, *(f"a_isotropic_{w}.nii.gz" for w in everything)}
    source = read(scans / "images" / "a.nii.gz", scans / "labels" / "a.nii.gz")
    assert verify(read(out / IMAGE, out / LABEL), source) == []


@pytest.mark.parametrize("first", [None, ["record"]])
def test_a_single_file_goes_on_by_its_record(scans, tmp_path, monkeypatch, first):
    out = tmp_path / "out"
    out.mkdir()
    call = partial(run, scans / "images" / "a.nii.gz", out / IMAGE)
    if first is not None:
        call(further=first)
    again = partial(call, further=[*BOTH, "record"])
    assert stop(monkeypatch, Killed(), 1, again)
    assert [again().status for _ in range(2)] == ["imputed", "kept"]


@pytest.mark.parametrize("first", [None, ["mask"]])
def test_what_a_lost_worker_began_the_one_in_its_place_goes_on_with(scans, tmp_path, first):
    out, flag = tmp_path / "out", tmp_path / "flag"
    if first is not None:
        run(scans, out, further=first)
    workers = ExecutorParams(kind="processes", workers=1, scheduler=None, attempts=2)
    order = replace(LINEAR, load=partial(load, flag))
    row = run(scans, out, order, ["confidence"], workers)
    assert row.status == ("imputed" if first is None else "kept")  # nothing else was to be written
    assert flag.read_text() == CONFIDENCE
    assert run(scans, out, further=[*(first or []), "confidence"]).status == "kept"


def test_a_single_file_of_a_lost_worker_goes_on_by_its_record(scans, tmp_path):
    source, out, flag = scans / "images" / "a.nii.gz", tmp_path / IMAGE, tmp_path / "flag"
    workers = ExecutorParams(kind="processes", workers=1, scheduler=None, attempts=2)
    order = replace(LINEAR, load=partial(load, flag))
    assert run(source, out, order, ["mask", "record"], workers).status == "imputed"
    assert flag.read_text() == MASK


@pytest.mark.parametrize("step", ["read_scan", "impute_named"])
def test_a_failure_before_writing_leaves_what_is_known_of_earlier_calls(
    scans, tmp_path, monkeypatch, step
):
    out = tmp_path / "out"
    run(scans, out, further=["mask"])
    with monkeypatch.context() as patched:
        patched.setattr(f"slicefill.batch.impute.{step}", lambda *_, **__: 1 / 0)
        assert run(scans, out, further=["confidence"]).status == "failed"
    assert read_table(out / TABLE)["a"].status == "failed"
    (out / LABEL).write_bytes(MINE)
    assert run(scans, out, further=["mask"]).status == "kept"
    with monkeypatch.context() as patched:
        patched.setattr(f"slicefill.batch.impute.{step}", lambda *_, **__: 1 / 0)
        assert run(scans, out, further=["confidence"]).status == "failed"
    assert run(scans, out, further=["confidence"]).status == "imputed"
    assert run(scans, out, further=BOTH).status == "kept"
    assert (out / LABEL).read_bytes() == MINE


@pytest.mark.parametrize("stopped", [False, True])
def test_a_label_map_that_was_corrected_by_hand_stays(scans, tmp_path, monkeypatch, stopped):
    """Where more is asked for than was written, or the call that wrote it was killed."""
    out = tmp_path / "out"
    run(scans, out)
    if stopped:
        (out / IMAGE).unlink()
        assert stop(monkeypatch, Killed(), 1, partial(run, scans, out, further=["mask"]))
    (out / LABEL).write_bytes(MINE)
    assert run(scans, out, further=BOTH).status == "imputed"
    assert (out / LABEL).read_bytes() == MINE


@pytest.mark.parametrize("error", [Killed(), OSError("No space left on device")])
def test_a_file_that_no_call_wrote_is_not_ones_own_because_a_call_failed(
    scans, tmp_path, monkeypatch, error
):
    out = tmp_path / "out"
    run(scans, out)
    stop(monkeypatch, error, 0, partial(run, scans, out, further=["mask"]))
    (out / CONFIDENCE).write_bytes(MINE)
    row = run(scans, out, further=BOTH)
    assert (row.status, f"{out / CONFIDENCE} exists already" in row.reason) == ("refused", True)
    assert not (out / MASK).exists()
    assert (out / CONFIDENCE).read_bytes() == MINE


@pytest.mark.parametrize("error", [Killed(), OSError("No space left on device")])
def test_a_call_that_stopped_before_it_replaced_a_file_does_not_make_it_its_own(
    scans, tmp_path, monkeypatch, error
):
    """The user may think better of it, and leave --overwrite out."""
    out = tmp_path / "out"
    run(scans, out, further=["confidence"])
    (out / MASK).write_bytes(MINE)
    order = replace(LINEAR, overwrite=True)
    assert stop(monkeypatch, error, 0, partial(run, scans, out, order, BOTH))
    for further in (["mask"], BOTH, []):
        assert run(scans, out, further=further).status == "refused"
    assert (out / MASK).read_bytes() == MINE
    assert run(scans, out, order, BOTH).status == "imputed"
    assert (out / MASK).read_bytes() != MINE


@pytest.mark.parametrize("error", [Killed(), OSError("No space left on device")])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_files_of_another_setting_are_not_taken_for_those_that_were_to_replace_them(
    scans, tmp_path, monkeypatch, error, after
):
    out = tmp_path / "out"
    run(scans, out, further=["mask"])
    again = partial(run, scans, out, OTHERWISE, ["mask"])
    assert stop(monkeypatch, error, after, again)
    damaged = BadCase(expected="a scan", found="half of one", remedy="copy it again")
    for between in (None, ZeroDivisionError(), damaged):
        if between is not None:
            with monkeypatch.context() as patched:
                patched.setattr("slicefill.batch.impute.read_scan", Mock(side_effect=between))
                assert again().status in ("failed", "refused")
        for order in (LINEAR, replace(OTHERWISE, overwrite=False)):
            for further in (["mask"], []):
                assert run(scans, out, order, further).status == "refused"
    assert [again().status for _ in range(2)] == ["imputed", "kept"]
    shapes = {np.shape(read(out / name).image.stored) for name in (IMAGE, LABEL, MASK)}
    assert shapes == {(12, 10, 7)}


def test_a_dicom_seg_whose_series_is_gone_is_in_the_way(tmp_path):
    """A new series has UIDs of its own, and the label map may have been corrected by hand."""
    series, seg = tmp_path / "a_dicom", tmp_path / "a_seg.dcm"
    outputs = {"image": tmp_path / "a.nii.gz", "dicom": series, "seg": seg}
    task = Task(RawCase("a", (tmp_path / "1.dcm",), None), outputs)
    before = Row(
        "a", "imputed", output="a.nii.gz", fingerprint="f", files="a.nii.gz/a_dicom/a_seg.dcm"
    )
    seg.write_bytes(MINE)
    row = find_made(task, "f", before, overwrite=False)
    assert row is not None
    assert row.reason.startswith(f"{seg} exists already")
    series.mkdir()
    assert find_made(task, "f", before, overwrite=False) is None

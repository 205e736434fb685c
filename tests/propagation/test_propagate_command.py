import json

import nibabel as nib
import numpy as np
import pytest

from slicefill import api
from slicefill.command_line import main


@pytest.fixture
def files(ball, tmp_path):
    given = ball(every=8)
    api.write(given.image, tmp_path / "scan.nii.gz")
    api.write(given.label, tmp_path / "some.nii.gz")
    return tmp_path


def run(*arguments):
    return main(["propagate", *map(str, arguments)])


def test_a_label_map_with_its_record_and_what_to_annotate_next(files, capsys):
    assert run(files / "scan.nii.gz", files / "some.nii.gz", "--every", 8, "--confidence") == 0
    made = files / "scan_propagated_label.nii.gz"
    said = capsys.readouterr().out
    record = json.loads((files / "scan_propagated_label.json").read_text())
    assert "scan: 14 slices between 3 annotated ones, confidence 0." in said
    assert f"worth annotating next: {record['annotate_next'][0]} (0." in said
    before, after = (np.asarray(nib.load(path).dataobj) for path in (files / "some.nii.gz", made))
    np.testing.assert_array_equal(before[..., ::8], after[..., ::8])
    assert after.any(axis=(0, 1)).all()
    confidence = nib.load(files / "scan_propagated_label_confidence.nii.gz").get_fdata()
    assert confidence.min() >= 0.5
    np.testing.assert_allclose(confidence[..., ::8], 1, atol=1e-6)
    assert run(files / "scan.nii.gz", files / "some.nii.gz") == 3
    assert "exists; name another output, or --overwrite" in capsys.readouterr().err


def test_what_does_not_fit_is_named_with_what_to_do(files, ball, capsys):
    half = ball(every=8).label
    api.write(half.with_stored(half.stored[..., :9]), files / "half.nii.gz")
    assert run(files / "scan.nii.gz", files / "half.nii.gz", "--every", 8) == 3
    said = capsys.readouterr().err
    assert "expected a label map on the grid of the image" in said
    assert "resample the label to the image" in said
    for wrong, message in (("0,x", "such as 0,4,8"), ("0", "found one, slice 0")):
        try:
            status = run(files / "scan.nii.gz", files / "some.nii.gz", "--annotated", wrong)
        except SystemExit as left:
            status = left.code
        assert status in (2, 3)
        assert message in capsys.readouterr().err


def test_a_file_in_the_place_of_the_record_is_not_replaced_unasked(files, capsys):
    (files / "out.json").write_text("{}")
    command = [files / "scan.nii.gz", files / "some.nii.gz", files / "out.nii.gz", "--every", 8]
    assert run(*command) == 3
    assert "out.json exists; name another output, or --overwrite" in capsys.readouterr().err
    assert (files / "out.json").read_text() == "{}"
    assert not (files / "out.nii.gz").exists()
    assert run(*command, "--overwrite") == 0


def test_folders_of_the_same_names_and_one_that_fails(files, ball, capsys):
    for folder in ("scans", "labels"):
        (files / folder).mkdir()
    for name, every in (("a", 8), ("b", 1)):
        given = ball(every=every)
        api.write(given.image, files / "scans" / f"{name}.nii.gz")
        api.write(given.label, files / "labels" / f"{name}.nii.gz")
    assert run(files / "scans", files / "labels", files / "out") == 3
    said = capsys.readouterr()
    assert "a: 14 slices" in said.out
    assert "b: refused: expected slices without annotation" in said.err
    assert sorted(path.name for path in (files / "out").iterdir()) == [
        "a_propagated_label.json",
        "a_propagated_label.nii.gz",
    ]

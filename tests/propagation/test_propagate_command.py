import json

import nibabel as nib
import numpy as np
import pytest

from slicefill import api
from slicefill.command_line import main
from slicefill.ingestion.checks import BadCase


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
    told = "14 slices between 3 annotated ones across S (array axis 2), confidence 0."
    assert f"scan: {told}" in said
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


def test_a_file_in_the_place_of_the_record_is_never_replaced(files, capsys):
    (files / "out.json").write_text("{}")
    command = [files / "scan.nii.gz", files / "some.nii.gz", files / "out.nii.gz", "--every", 8]
    for options in ([], ["--overwrite"]):
        assert run(*command, *options) == 3
        said = capsys.readouterr().err
        assert "out.json: expected a record that propagate wrote" in said
        assert "name another output" in said
    assert (files / "out.json").read_text() == "{}"
    assert not (files / "out.nii.gz").exists()


def test_what_would_stand_beside_the_label_map_replaces_no_input(files, capsys):
    scan = (files / "scan.nii.gz").rename(files / "out_confidence.nii.gz")
    with pytest.raises(SystemExit):
        run(scan, files / "some.nii.gz", files / "out.nii.gz", "--overwrite", "--confidence")
    assert "out_confidence.nii.gz: expected another name than" in capsys.readouterr().err


def test_a_second_call_goes_on_where_the_first_was_killed(files, capsys):
    command = [files / "scan.nii.gz", files / "some.nii.gz", files / "out.nii.gz", "--confidence"]
    assert run(*command) == 0
    made = {name: (files / name).read_bytes() for name in ("out.nii.gz", "out.json")}
    capsys.readouterr()
    assert run(*command) == 0
    assert "scan: there already → " in capsys.readouterr().out
    (files / "out.nii.gz").unlink()  # killed before it was written
    assert run(*command) == 0
    assert {name: (files / name).read_bytes() for name in made} == made
    unfinished = json.loads(made["out.json"]) | {"unfinished": True}
    (files / "out.json").write_text(json.dumps(unfinished))
    (files / "out.nii.gz").write_bytes(b"that of an earlier call")
    assert run(*command) == 0
    assert {name: (files / name).read_bytes() for name in made} == made
    capsys.readouterr()
    assert run(*command, "--every", 8) == 3
    assert "out.nii.gz exists; name another output, or --overwrite" in capsys.readouterr().err


def test_no_confidence_of_another_label_map_stays_beside_it(files, capsys):
    command = [files / "scan.nii.gz", files / "some.nii.gz", files / "out.nii.gz"]
    confidence = files / "out_confidence.nii.gz"
    assert run(*command, "--confidence") == 0
    assert run(*command, "--every", 8, "--overwrite") == 0
    assert not confidence.exists()
    confidence.write_bytes(b"of somebody else")
    assert run(*command, "--overwrite") == 0
    assert "out_confidence.nii.gz beside it: not of this call" in capsys.readouterr().err
    assert confidence.exists()


def test_a_folder_of_label_maps_alone_counts_and_what_is_not_used_is_named(files, ball, capsys):
    for name in ("scans/a", "scans/b", "scans/b_seg", "labels/a", "labels/c"):
        given = ball(every=8)
        (files / name).parent.mkdir(exist_ok=True)
        api.write(
            given.image if name[-1] in "ab" and name[0] == "s" else given.label,
            files / f"{name}.nii.gz",
        )
    for suffix in (".nii.gz", ".nii"):
        api.write(ball(every=8).label, files / "labels" / f"b{suffix}")
    assert run(files / "scans", files / "labels", files / "out", "--quiet") == 3
    said = capsys.readouterr().err
    assert "b: refused: b.nii.gz: expected one label map of its name, found several" in said
    assert "label map c.nii.gz: no scan has its name" in said
    folders = [files / each for each in ("scans", "made", "labels")]
    command = ["impute", folders[0], folders[1], "--label", folders[2], "--axis", "S"]
    assert main([*map(str, command), "--dry-run", "--quiet"]) == 3  # a: sparse labels
    assert "label map c.nii.gz: no scan has its name" in capsys.readouterr().err


def test_wrong_usage_is_told_in_the_words_of_the_command(files, ball, capsys):
    api.write(ball().image.with_stored(np.full((64, 64, 17), 7, np.int16)), files / "flat.nii.gz")
    assert run(files / "flat.nii.gz", files / "some.nii.gz") == 3
    assert "flat: refused: expected voxels that differ" in capsys.readouterr().err
    for command, message in (
        (["scan.nii.gz", "scan.nii.gz"], "scan.nii.gz: expected a label map, got the scan itself"),
        (
            ["scan.nii.gz", "some.nii.gz", "--every", "8", "out.nii.gz"],
            "files, OUT among them, sta",
        ),
    ):
        with pytest.raises(SystemExit):
            run(*(files / each if "." in each else each for each in command))
        said = capsys.readouterr().err
        assert message in said
        assert "--label" not in said.splitlines()[-1]


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


def test_a_scan_without_a_label_map_is_told_what_helps_here(files, ball, capsys):
    for name in ("scans/a", "scans/b", "labels/a"):
        given = ball(every=8)
        (files / name).parent.mkdir(exist_ok=True)
        volume = given.image if name.startswith("scans") else given.label
        api.write(volume, files / f"{name}.nii.gz")
    assert run(files / "scans", files / "labels", files / "out", "--quiet") == 3
    said = capsys.readouterr().err
    assert "b: refused: expected a label map, found none; in a folder of label maps" in said
    assert "Kedro" not in said
    assert (files / "out" / "a_propagated_label.nii.gz").exists()
    with pytest.raises(BadCase, match="expected a label map, found none; in a folder"):
        api.propagate(files / "scans" / "b.nii.gz")

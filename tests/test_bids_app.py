"""`slicefill-bids` reads a BIDS data set and writes a BIDS derivative data set."""

import json
import re
from itertools import chain

import nibabel as nib
import numpy as np
import pytest

from slicefill.command_line.bids import main
from slicefill.io.case_folder import write_volume

bids_validator = pytest.importorskip("bids_validator", reason="the extra `dev` is not installed")


@pytest.fixture(scope="module")
def derivative_names():
    """Patterns of the names that the BIDS schema allows in a derivative data set."""
    from bidsschematools.rules import regexify_filename_rules
    from bidsschematools.schema import load_schema

    schema = load_schema()
    groups = [schema.rules.files.common, schema.rules.files.deriv]
    rules = chain.from_iterable(regexify_filename_rules(group, schema, level=2) for group in groups)
    return [re.compile(rule["regex"]) for rule in rules]


@pytest.fixture
def bids(case, tmp_path):
    """Two subjects, one with a label map, one with two sessions and an isotropic T1w."""
    folder = tmp_path / "data"
    first, second = case(), case(seed=1)
    write_volume(first.image, folder / "sub-01/anat/sub-01_T2w.nii.gz")
    write_volume(first.label, folder / "derivatives/manual/sub-01/anat/sub-01_T2w_dseg.nii.gz")
    for session in ("pre", "post"):
        name = f"sub-02/ses-{session}/anat/sub-02_ses-{session}_acq-fast_run-1_T2w.nii.gz"
        write_volume(second.image, folder / name)
    isotropic = nib.Nifti1Image(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.eye(4))
    (folder / "sub-02/anat").mkdir()
    nib.save(isotropic, folder / "sub-02/anat/sub-02_T1w.nii.gz")
    description = {"Name": "Knees", "BIDSVersion": "1.8.0", "License": "CC0"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


def run(bids, out, *options):
    return main([str(bids), str(out), "participant", "--method", "linear", *map(str, options)])


def files(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_a_folder_that_is_not_there_or_cannot_be_written_is_said(bids, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for wrong, message in (
        ((tmp_path / "none", tmp_path / "out"), "none: no such file or folder"),
        ((bids, tmp_path / "file" / "out"), "Not a directory"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run(*wrong)
        assert message in capsys.readouterr().err


def test_outputs_are_named_as_bids_derivatives(bids, tmp_path, derivative_names):
    out = tmp_path / "out"
    assert run(bids, out) == 0
    assert files(out) == sorted(
        [
            "dataset_description.json",
            "sub-01/anat/sub-01_desc-imputed_T2w.nii.gz",
            "sub-01/anat/sub-01_desc-imputed_T2w.json",
            "sub-01/anat/sub-01_desc-imputed_dseg.nii.gz",
            "sub-01/anat/sub-01_desc-imputed_dseg.json",
        ]
        + [
            f"sub-02/ses-{one}/anat/sub-02_ses-{one}_acq-fast_run-1_desc-imputed_T2w.{suffix}"
            for one in ("pre", "post")
            for suffix in ("nii.gz", "json")
        ]
    )
    for name in files(out):
        assert any(pattern.fullmatch(name) for pattern in derivative_names), name
    assert not any(p.fullmatch("sub-01/anat/sub-01_imputed_T2w.nii.gz") for p in derivative_names)


def test_the_input_is_a_bids_data_set_and_stays_as_it_was(bids, tmp_path):
    before = {path: (bids / path).read_bytes() for path in files(bids)}
    run(bids, tmp_path / "out")
    assert all(bids_validator.BIDSValidator().is_bids(f"/{path}") for path in before)
    assert {path: (bids / path).read_bytes() for path in files(bids)} == before


def test_images_and_labels_are_those_of_the_api(bids, tmp_path):
    import slicefill

    out = tmp_path / "out"
    run(bids, out, "--spacing", 1)
    scan = bids / "sub-01/anat/sub-01_T2w.nii.gz"
    label = bids / "derivatives/manual/sub-01/anat/sub-01_T2w_dseg.nii.gz"
    expected = slicefill.impute(slicefill.read(scan, label), spacing=1.0, method="linear")
    image = nib.load(out / "sub-01/anat/sub-01_desc-imputed_T2w.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(), expected.image.intensities())
    np.testing.assert_array_equal(image.affine, expected.image.affine)
    labels = nib.load(out / "sub-01/anat/sub-01_desc-imputed_dseg.nii.gz")
    np.testing.assert_array_equal(labels.dataobj, expected.label.stored)


def test_sidecars_say_where_the_outputs_come_from(bids, tmp_path):
    out = bids / "derivatives" / "slicefill"
    assert main([str(bids), str(out), "participant", "--participant-label", "01"]) == 0
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "Slicefill"
    assert description["SourceDatasets"] == [{"URL": "../.."}]
    assert description["License"] == "CC0"
    beside = out / "sub-01/anat"
    image = json.loads((beside / "sub-01_desc-imputed_T2w.json").read_text())
    label = json.loads((beside / "sub-01_desc-imputed_dseg.json").read_text())
    for uri in [*image["Sources"], *label["Sources"]]:
        scheme, name, path = uri.split(":")
        assert scheme == "bids"
        assert (out / description["DatasetLinks"][name] / path).is_file()
    header = nib.load(beside / "sub-01_desc-imputed_T2w.nii.gz").header
    assert image["SpacingBetweenSlices"] == pytest.approx(header.get_zooms()[2], abs=1e-5)
    assert image["SkullStripped"] is False
    ours = image["Slicefill"]
    assert (ours["Method"], ours["Weights"]) == ("pretrained", "pretrained")
    assert len(ours["WeightsSHA256"]) == 64
    assert str(tmp_path) not in json.dumps([description, image, label])


def test_a_second_run_makes_only_what_is_new_or_changed(bids, capsys):
    out = bids / "derivatives" / "slicefill"  # its own label maps are not taken for sources
    run(bids, out)
    times = {path: (out / path).stat().st_mtime_ns for path in files(out)}
    capsys.readouterr()
    assert run(bids, out) == 0
    assert "3 unchanged" in capsys.readouterr().out
    images = [path for path in times if path.endswith(".nii.gz")]
    assert all((out / path).stat().st_mtime_ns == times[path] for path in images)
    (out / "sub-01/anat/sub-01_desc-imputed_dseg.nii.gz").unlink()
    run(bids, out, "--participant-label", "sub-01")
    assert "1 imputed" in capsys.readouterr().out
    run(bids, out, "--count", 1)
    assert "3 imputed" in capsys.readouterr().out


def test_a_label_map_that_is_gone_takes_its_output_with_it(bids, tmp_path):
    out = tmp_path / "out"
    run(bids, out)
    (bids / "derivatives/manual/sub-01/anat/sub-01_T2w_dseg.nii.gz").unlink()
    run(bids, out)
    assert not [path for path in files(out) if "dseg" in path]


def test_a_bad_scan_is_refused_with_what_to_do_and_the_others_go_on(bids, tmp_path, capsys):
    scan = bids / "sub-01/anat/sub-01_T2w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:-20])
    assert run(bids, tmp_path / "out") == 3
    said = capsys.readouterr()
    assert "refused    sub-01/anat/sub-01_T2w.nii.gz: expected" in said.err
    assert "2 imputed, 1 refused" in said.out
    assert not (tmp_path / "out/sub-01").exists()


def test_participants_sessions_and_suffixes_are_chosen(bids, tmp_path, capsys):
    run(bids, tmp_path / "one", "--participant_label", "02", "--session-label", "pre")
    assert {path.split("/")[1] for path in files(tmp_path / "one") if "/" in path} == {"ses-pre"}
    capsys.readouterr()
    assert run(bids, tmp_path / "two", "--suffix", "T1w", "T2w") == 0
    said = capsys.readouterr().out
    assert "left aside sub-02/anat/sub-02_T1w.nii.gz: slices 1 mm apart" in said


def test_two_scans_never_write_the_same_output(bids, tmp_path, capsys):
    scan = bids / "sub-01/anat/sub-01_T2w.nii.gz"
    nib.save(nib.load(scan), scan.with_suffix(""))
    assert run(bids, tmp_path / "out", "--participant-label", "01") == 3
    assert "expected outputs of its own for every scan" in capsys.readouterr().err


def test_a_label_map_of_another_suffix_is_not_replaced(bids, tmp_path, capsys):
    other = bids / "sub-01/anat/sub-01_FLAIR.nii.gz"
    nib.save(nib.load(bids / "sub-01/anat/sub-01_T2w.nii.gz"), other)
    label = bids / "derivatives/manual/sub-01/anat/sub-01_T2w_dseg.nii.gz"
    nib.save(nib.load(label), label.with_name("sub-01_FLAIR_dseg.nii.gz"))
    out, only = tmp_path / "out", ["--participant-label", "01"]
    assert run(bids, out, *only) == 0
    made = {path: path.read_bytes() for path in out.rglob("*.nii.gz")}
    assert run(bids, out, *only, "--suffix", "FLAIR") == 3
    assert "each to a folder of its own" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*.nii.gz")} == made
    assert run(bids, out, *only) == 0


def test_our_own_label_maps_are_no_label_maps_of_the_scans(bids, capsys):
    out = bids / "derivatives" / "slicefill"
    assert run(bids, out) == 0
    from slicefill.command_line import main as slicefill

    assert slicefill(["impute", str(bids), str(bids.parent / "made"), "--dry-run"]) == 0
    assert capsys.readouterr().err == ""


def test_hidden_files_of_other_systems_are_no_scans(bids, tmp_path, capsys):
    (bids / "sub-01/anat/._sub-01_T2w.nii.gz").write_bytes(b"Mac OS X")
    assert run(bids, tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--participant-label", "09"], "expected one of sub-01, sub-02, got sub-09"),
        (["--session-label", "pre", "mid"], "expected one of ses-post, ses-pre, got ses-mid"),
        (["--suffix", "FLAIR"], "found scans with the suffixes T1w, T2w; name one with --suffix"),
        (["--method", "lineer"], "method: expected pretrained"),
        (["--spacing", "-1"], "greater than 0"),
        (["--spacing", "1", "--count", "2"], "not allowed with"),
    ],
)
def test_wrong_usage_says_what_is_expected(bids, tmp_path, capsys, options, said):
    with pytest.raises(SystemExit) as stopped:
        run(bids, tmp_path / "out", *options)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_data_set_is_not_written_to(bids, tmp_path, capsys):
    other = tmp_path / "out/dataset_description.json"
    other.parent.mkdir()
    other.write_text(json.dumps({"Name": "fMRIPrep", "GeneratedBy": [{"Name": "fMRIPrep"}]}))
    for out, said in ((other.parent, "found the data set 'fMRIPrep'"), (bids, "of their own")):
        with pytest.raises(SystemExit) as stopped:
            run(bids, out)
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err

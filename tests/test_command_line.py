import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from slicefill.command_line import main
from slicefill.geometry import step_map
from slicefill.io.case_folder import write_case, write_volume
from slicefill.types import Case, Volume


def thick_case(seed):
    stored = np.random.default_rng(seed).integers(0, 900, (4, 5, 3)).astype(np.int16)
    header = nib.Nifti1Header()
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_sform(np.diag([1.0, 1.0, 4.0, 1.0]), 1)
    header.set_slope_inter(1, 0)
    image = Volume(stored, header)
    return Case(image, image.with_stored((stored > 450).astype(np.uint8)))


def imputed_case(case):
    """One copy of the slice before it in every interval."""
    finer = step_map(2, 0.5)
    image, label = (
        one.with_stored(np.repeat(one.stored, 2, axis=2)[..., :-1], finer)
        for one in (case.image, case.label)
    )
    mask = np.zeros(image.stored.shape, np.uint8)
    mask[..., 1::2] = 1
    record = {"axis": 2, "count": 1}
    return Case(image, label, {"synthetic_mask": image.with_stored(mask)}, record)


@pytest.fixture
def folders(tmp_path):
    """acquired/<case> and imputed/<method>/<case>, as the pipelines leave them."""
    for seed, name in enumerate(["case_a", "case_b"]):
        case = thick_case(seed)
        write_case(case, tmp_path / "acquired" / name)
        for method in ("linear", "cubic"):
            write_case(imputed_case(case), tmp_path / "imputed" / method / name)
    return tmp_path


def damage(folder, voxel=(0, 0, 2)):
    path = folder / "image.nii.gz"
    image = nib.load(path)
    stored = np.asarray(image.dataobj).copy()
    stored[voxel] += 1
    nib.save(nib.Nifti1Image(stored, None, image.header), path)


def run(*arguments):
    return main(["verify", *map(str, arguments)])


def test_one_case_against_its_folder(folders, capsys):
    output, source = folders / "imputed" / "linear" / "case_a", folders / "acquired" / "case_a"
    assert run(output, "--against", source) == 0
    assert capsys.readouterr().out.splitlines() == ["ok       case_a", "1 of 1 cases ok"]


@pytest.mark.parametrize(("level", "count"), [("imputed/linear", 2), ("imputed", 4)])
def test_folders_of_cases_are_matched_by_name(folders, capsys, level, count):
    assert run(folders / level, "--against", folders / "acquired") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("ok")]) == count
    assert lines[-1] == f"{count} of {count} cases ok"


def test_a_changed_acquired_voxel_fails_only_its_case_and_is_named(folders, capsys):
    damage(folders / "imputed" / "linear" / "case_b")
    assert run(folders / "imputed", "--against", folders / "acquired") == 1
    out = capsys.readouterr().out
    assert "DIFFERS  imputed/linear/case_b" in out
    assert "image: acquired slice 1, output slice 2" in out
    assert out.splitlines()[-1] == "3 of 4 cases ok"


def test_many_differences_are_cut_short(folders, capsys):
    case = imputed_case(thick_case(0))
    case.image.stored[:] = 5
    case.label.stored[:] = 7
    write_case(case, folders / "imputed" / "linear" / "case_a")
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 1
    assert "... and 2 more" in capsys.readouterr().out  # 3 + 3 slices and the ids


def test_a_nifti_file_checks_the_image_and_with_its_label_both(folders, capsys):
    output, source = folders / "imputed" / "linear" / "case_a", folders / "acquired" / "case_a"
    wrong = folders / "acquired" / "case_b" / "label.nii.gz"
    assert run(output, "--against", source / "image.nii.gz") == 0
    assert "image only" in capsys.readouterr().out
    image = source / "image.nii.gz"
    assert run(output, "--against", image, "--label", source / "label.nii.gz") == 0
    assert "image only" not in capsys.readouterr().out
    assert run(output, "--against", image, "--label", wrong) == 1


@pytest.mark.parametrize("name", ["image.nii.gz", "record.json"])
def test_a_case_that_lacks_a_file_or_is_cut_short_fails_and_the_others_go_on(folders, capsys, name):
    broken = folders / "imputed" / "linear" / "case_a" / name
    broken.write_bytes(broken.read_bytes()[:20])
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 1
    assert "cannot be read" in capsys.readouterr().out
    broken.unlink()
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 2 cases ok"


def test_a_case_without_its_source_fails(folders, capsys):
    write_case(imputed_case(thick_case(9)), folders / "imputed" / "linear" / "stranger")
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 1
    out = capsys.readouterr().out
    assert "DIFFERS  linear/stranger" in out
    assert "2 of 3 cases ok" in out


def test_a_case_left_half_written_is_not_a_case(folders, capsys):
    half = folders / "imputed" / "linear" / ".case_c.partial"
    half.mkdir()
    (half / "image.nii.gz").write_bytes(b"")
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 0
    assert "2 of 2" in capsys.readouterr().out


def test_what_an_earlier_run_left_over_is_named_and_not_counted(folders, capsys):
    for place in ("imputed/linear", "acquired"):
        (folders / place / "case_b" / "LEFT_OVER.txt").write_text("by an earlier run")
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 0
    out = capsys.readouterr().out
    assert "left over linear/case_b: see LEFT_OVER.txt" in out
    assert "1 of 1 cases ok, 1 left over from an earlier run" in out
    (folders / "imputed" / "linear" / "case_a" / "LEFT_OVER.txt").write_text("as well")
    assert run(folders / "imputed" / "linear", "--against", folders / "acquired") == 1
    assert "0 of 0 cases ok, 2 left over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--against", "acquired"], "nowhere: no such file or folder"),
        (["imputed", "--against", "nowhere"], "nowhere: no such file or folder"),
        (["imputed"], "--against"),
        (["imputed", "--against", "acquired/case_a"], "holds 4 cases"),
        (["imputed", "--against", "imputed"], "expected scans named as in"),
        (["empty", "--against", "acquired"], "expected a case folder with image.nii.gz"),
        (
            [
                "imputed/linear/case_a",
                "--against",
                "acquired",
                "--label",
                "acquired/case_a/label.nii.gz",
            ],
            "--label belongs to scans",
        ),
    ],
)
def test_wrong_usage_leaves_with_2_and_says_why(folders, capsys, monkeypatch, arguments, message):
    (folders / "empty").mkdir()
    monkeypatch.chdir(folders)
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_a_command_it_leaves_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_help_explains_and_loads_no_heavy_package():
    code = (
        "import sys; from slicefill.command_line import main\n"
        "try:\n    main(['verify', '--help'])\n"
        "finally:\n    print({'numpy', 'nibabel', 'torch', 'kedro'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "--against INPUT" in result.stdout
    assert "exit status" in result.stdout
    assert result.stdout.splitlines()[-1] == "set()"


def test_a_tune_worker_becomes_the_search_of_the_tuning_pipeline(monkeypatch):
    class Replaced(Exception):  # noqa: N818 - the real call never returns
        pass

    def execv(program, command):
        raise Replaced(program, command)

    monkeypatch.setattr("os.execv", execv)
    monkeypatch.chdir(Path(__file__).parent)  # in the project, below its folder
    with pytest.raises(Replaced) as replaced:
        main(["tune-worker", "--env", "tiny", "--params", "tuning.minutes=5"])
    program, command = replaced.value.args
    assert program == command[0] == sys.executable
    assert command[1:] == [
        "-m",
        "kedro",
        "run",
        "--env=tiny",
        "--pipelines=tuning",
        "--nodes=tuning.search_parameters",
        "--params=tuning.minutes=5",
    ]


def test_a_tune_worker_needs_an_experiment(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["tune-worker"])
    assert stopped.value.code == 2
    assert "--env" in capsys.readouterr().err


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A thick scan with its label map, and the dense one that it was taken from."""
    dense = thick_case(3)
    stored = np.random.default_rng(1).integers(0, 900, (16, 15, 9)).astype(np.int16)
    image = dense.image.with_stored(stored)
    label = dense.label.with_stored((stored > 450).astype(np.uint8))
    thick = [one.with_stored(one.stored[..., ::2], step_map(2, 2)) for one in (image, label)]
    names = ("dense", "dense_label", "thick", "seg")
    for name, volume in zip(names, (image, label, *thick), strict=True):
        write_volume(volume, tmp_path / f"{name}.nii.gz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_file_in_one_file_out_verified_and_scored(scans, capsys):
    options = ["--method", "linear", "--count", "1", "--label", "seg.nii.gz", "--record"]
    assert main(["impute", "thick.nii.gz", *options]) == 0
    out = capsys.readouterr().out
    assert "thick: 1 × 1 × 8 → 1 × 1 × 4 mm, 5 → 9 slices" in out
    assert f"results: {scans / 'thick_isotropic.nii.gz'}" in out
    assert json.loads((scans / "thick_isotropic.json").read_text())["method"] == "linear"
    verify = ["verify", "thick_isotropic.nii.gz", "--against", "thick.nii.gz"]
    assert main([*verify, "--label", "seg.nii.gz"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 cases ok"
    truth = ["dense.nii.gz", "thick_isotropic.nii.gz", "--label", "dense_label.nii.gz"]
    assert main(["evaluate", *truth, "--csv", "scores.csv"]) == 0
    assert "psnr_body" in capsys.readouterr().out
    header, row = (scans / "scores.csv").read_text().splitlines()
    scores = dict(zip(header.split(","), row.split(","), strict=True))
    assert float(scores["slices"]) == 4
    assert 0 < float(scores["dice_1"]) < 1


def test_truths_without_an_output_are_named_and_no_score_at_all_is_no_success(scans, capsys):
    for folder, names in {"truth": ("one", "two"), "thick": ("one",)}.items():
        (scans / folder).mkdir()
        source = "dense" if folder == "truth" else "thick"
        for name in names:
            shutil.copy(scans / f"{source}.nii.gz", scans / folder / f"{name}.nii.gz")
    assert main(["impute", "thick", "out", "--method", "linear", "--count", "1"]) == 0
    assert main(["evaluate", "truth", "out"]) == 0
    assert "1 of TRUTH have no output: two" in capsys.readouterr().out
    (scans / "thick" / "one.nii.gz").write_bytes(b"\x1f\x8b")
    assert main(["impute", "thick", "out", "--method", "linear", "--count", "1"]) == 3
    assert main(["evaluate", "truth", "out"]) == 3
    assert "nothing was scored" in capsys.readouterr().out


def test_a_changed_voxel_of_a_single_file_is_found(scans, capsys):
    assert main(["impute", "thick.nii.gz", "out.nrrd", "--method", "linear", "--count", "1"]) == 0
    image = SimpleITK.ReadImage("out.nrrd")
    assert main(["verify", "out.nrrd", "--against", "thick.nii.gz"]) == 0
    image[3, 3, 2] = image[3, 3, 2] + 1
    SimpleITK.WriteImage(image, "out.nrrd")
    assert main(["verify", "out.nrrd", "--against", "thick.nii.gz"]) == 1
    assert "acquired slice 1, output slice 2" in capsys.readouterr().out


def test_nothing_is_replaced_unless_asked_and_the_exit_code_says_so(scans, capsys):
    command = ["impute", "thick.nii.gz", "--method", "linear", "--count", "1"]
    assert main(command) == 0
    before = (scans / "thick_isotropic.nii.gz").read_bytes()
    assert main([*command[:-1], "3"]) == 3
    assert "--overwrite" in capsys.readouterr().err
    assert (scans / "thick_isotropic.nii.gz").read_bytes() == before
    assert main([*command, "--quiet"]) == 3
    said = capsys.readouterr()
    assert "exists already" in said.err  # what went wrong is told all the same
    assert said.out == ""
    assert main([*command[:-1], "3", "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert (scans / "thick_isotropic.nii.gz").read_bytes() != before


def test_a_folder_is_counted_and_its_damaged_scan_named(scans, capsys):
    (scans / "thick.nii.gz").write_bytes(b"\x1f\x8b")
    (scans / "notes.txt").write_text("about the scans")
    assert main(["impute", ".", "out", "--method", "linear", "--count", "1"]) == 3
    both = capsys.readouterr()
    said = both.out
    assert "thick: refused: " in both.err
    assert "left aside: notes.txt" in said
    assert "3 scans: 1 imputed, 2 refused, 1 left aside" in said
    assert main(["verify", "out", "--against", "."]) == 0


def test_scans_without_a_label_map_in_the_folder_of_label_maps_are_named(scans, capsys):
    for name in ("one", "two"):
        (scans / "thick").mkdir(exist_ok=True)
        shutil.copy(scans / "thick.nii.gz", scans / "thick" / f"{name}.nii.gz")
    (scans / "maps").mkdir()
    shutil.copy(scans / "seg.nii.gz", scans / "maps" / "one.nii.gz")
    options = ["--label", "maps", "--method", "linear", "--count", "1"]
    assert main(["impute", "thick", "out", *options]) == 0
    assert "1 without a label map of their name in maps: two" in capsys.readouterr().out
    assert (scans / "out" / "one_isotropic_label.nii.gz").exists()
    assert not (scans / "out" / "two_isotropic_label.nii.gz").exists()


def test_a_rehearsal_writes_nothing(scans, capsys):
    before = sorted(path.name for path in scans.iterdir())
    assert main(["impute", "thick.nii.gz", "--dry-run", "--count", "1", "--method", "cubic"]) == 0
    assert "5 → 9 slices, 0.0 MB before compression, about " in capsys.readouterr().out
    (scans / "thick.nii.gz").write_bytes(b"\x1f\x8b")
    assert main(["impute", "thick.nii.gz", "--dry-run", "--quiet"]) == 3
    said = capsys.readouterr()
    assert "thick: refused: " in said.err  # what went wrong is told all the same
    assert said.out == ""
    assert sorted(path.name for path in scans.iterdir()) == before


def test_info_says_what_a_scan_is_and_what_would_happen(scans, capsys):
    assert main(["info", "thick.nii.gz"]) == 0
    said = capsys.readouterr().out
    assert "16 × 15 × 5" in said
    assert "5 → 33 slices, 7 in every interval, 1 × 1 × 1 mm" in said
    thin = np.diag([0.001, 0.001, 5, 1])
    many = nib.Nifti1Image(np.arange(2000, dtype=np.int16).reshape(10, 10, 20), thin)
    nib.save(many, scans / "many.nii.gz")
    assert main(["info", "many.nii.gz"]) == 3
    assert "would be     refused: " in capsys.readouterr().out
    (scans / "thick.nii.gz").write_bytes(b"\x1f\x8b")
    assert main(["info", "thick.nii.gz"]) == 3
    assert "refused" in capsys.readouterr().out


def test_scans_of_one_slice_alone_are_no_success(scans, capsys):
    thick = nib.load("thick.nii.gz")
    (scans / "flat").mkdir()
    nib.save(thick.slicer[..., :1], scans / "flat" / "one.nii.gz")
    for command in ("info", "impute"):
        assert main([command, "flat/one.nii.gz"]) == 3
        assert "one slice: nothing lies between slices" in capsys.readouterr().out
    shutil.copy("thick.nii.gz", "flat/thick.nii.gz")
    assert main(["info", "flat"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["thick.nii.gz", "--method", "lineer"], "expected pretrained, sharp, nearest, linear"),
        (["thick.nii.gz", "--method", "demons"], "shape_matched, dis or a checkpoint"),
        (["thick.nii.gz", "--spacing", "-1"], "expected a number above 0"),
        (["thick.nii.gz", "--spacing", "1", "--count", "1"], "not allowed with"),
        (["thick.nii.gz", "thick.nii.gz"], "another name than that of the input"),
        (["thick.nii.gz", "--adapt", "soon"], "expected a time such as 5min"),
        (["thick.nii.gz", "--adapt", "0min"], "expected a number above 0"),
        (["nowhere.nii.gz"], "no such file or folder"),
        ([".", "out.nii.gz"], "expected a folder for the outputs"),
        (["empty"], "found an empty folder"),
        ([""], "got an empty name"),
        (["x" * 300], "File name too long"),
        (["thick.nii.gz", "--label", "./thick.nii.gz"], "got the scan itself"),
        (["thick.nii.gz", "--jobs", "0"], "a whole number of 1 or more"),
        (["thick.nii.gz", "--count", "0"], "a whole number of 1 or more"),
        (["thick.nii.gz", "out.mhd"], "expected a name that ends in .nii.gz"),
        (["thick.nii.gz", "out.png"], "expected a name that ends in .nii.gz"),
        (["thick.nii.gz", "--method", "thick.pt"], "thick.pt"),
        (["thick.nii.gz", "--method", "cubic", "--adapt", "5min"], "leave --method out"),
        (["thick.nii.gz", "--method", "cubic", "--quality", "best"], "got the method cubic"),
        (["thick.nii.gz", "--spacing", "2", "--exact", "--dicom"], "leave --exact or --dicom out"),
        (["thick.nii.gz", "--orthogonal", "--dicom"], "leave --orthogonal or --dicom out"),
    ],
)
def test_wrong_usage_of_impute_says_why(scans, capsys, arguments, message):
    (scans / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main(["impute", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_scores_replace_scores_and_no_other_table(scans, capsys):
    assert main(["impute", "thick.nii.gz", "--method", "linear", "--count", "1"]) == 0
    command = ["evaluate", "dense.nii.gz", "thick_isotropic.nii.gz", "--csv", "scores.csv"]
    assert main(command) == 0
    assert main(command) == 0
    (scans / "scores.csv").write_text("patient,age\n")
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "expected a new file, or a table of such scores" in capsys.readouterr().err
    assert (scans / "scores.csv").read_text() == "patient,age\n"


def test_what_cannot_be_said_ends_no_command(scans):
    code = "import sys; from slicefill.command_line import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "impute", "thick.nii.gz", "out.nii.gz"]
    text = shlex.join([*command, "--method", "linear", "--count", "1"])
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    closed = ["sh", "-c", f"{text} 2>&- <&-"]
    done = subprocess.run(closed, env=latin, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"5 ? 9 slices" in done.stdout
    unread = ["bash", "-o", "pipefail", "-c", f"{text} --overwrite | true"]
    done = subprocess.run(unread, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert main(["verify", "out.nii.gz", "--against", "thick.nii.gz"]) == 0


def test_an_interruption_is_said_in_a_word(scans, capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("slicefill.batch.describe.describe_scan", interrupt)
    assert main(["info", "thick.nii.gz"]) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize(
    "command", ["impute", "info", "verify", "evaluate", "segment", "propagate"]
)
def test_help_of_every_command_needs_no_heavy_package(command):
    code = (
        "import sys; from slicefill.command_line import main\n"
        f"try:\n    main(['{command}', '--help'])\n"
        "finally:\n    print({'numpy', 'nibabel', 'torch', 'kedro'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "exit status" in result.stdout
    assert result.stdout.splitlines()[-1] == "set()"

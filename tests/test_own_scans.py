"""`kedro run --env=scans --pipelines=imputation`: a folder of scans, and nothing else is needed."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from slicefill.command_line import main
from slicefill.resolvers import name_scans

from .conftest import ROOT, TURNED

RUN = ("run", "--env=scans", "--pipelines=imputation")


def design(project, grid="_nearest", name="raw"):
    """Where what is imputed is, below a layer: named after the folder of scans and the grid."""
    return f"{name_scans(str(project / name))}/auto_x1{grid}"


def blob(seed):
    """A bright ellipsoid in noise, 7 slices, 4 mm apart, oblique; and where it is."""
    rows, columns, slices = np.indices((32, 28, 7))
    inside = ((rows - 16) / 9) ** 2 + ((columns - 13) / 7) ** 2 + ((slices - 3) / 3) ** 2 < 1
    noise = np.random.default_rng(seed).normal(0, 10, inside.shape)
    return (100 + 400 * inside + noise).astype("<i2"), inside.astype("u1")


@pytest.fixture
def scans(project):
    """The project with the environment for scans of one's own; makes scans in a raw folder."""
    shutil.copytree(ROOT / "conf" / "scans", project / "conf" / "scans")
    raw = project / "raw"

    def make(**labelled):
        for seed, (name, has_label) in enumerate(labelled.items()):
            volumes = dict(zip(("images", "labels"), blob(seed), strict=True))
            for kind in volumes if has_label else ["images"]:
                (raw / kind).mkdir(parents=True, exist_ok=True)
                nib.save(nib.Nifti1Image(volumes[kind], TURNED), raw / kind / f"{name}.nii.gz")
        return raw

    return make


def imputed_volume(project, name, file="image"):
    path = (
        project / "data" / "07_model_output" / design(project) / "imputed" / name / f"{file}.nii.gz"
    )
    return nib.load(path)


def test_scans_are_imputed_at_once_and_a_broken_one_stops_no_other(scans, project, kedro, capsys):
    raw = scans(one=True, two=False, broken=False)
    broken = raw / "images" / "broken.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-30])
    done = kedro(project, *RUN, SLICEFILL_RAW=str(raw))
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert "refused: broken: images/broken.nii.gz: expected" in said
    assert "slice_imputation is not trained here: the shipped weights impute instead" in said

    data = project / "data"
    for name in ("one", "two"):
        image = imputed_volume(project, f"pretrained/{name}")
        stored = np.asarray(nib.load(raw / "images" / f"{name}.nii.gz").dataobj)
        step = (image.shape[2] - 1) // 6
        assert step > 1
        assert np.asarray(image.dataobj)[..., ::step].tobytes() == stored.tobytes()
        np.testing.assert_allclose(image.affine @ [3, 2, step, 1], TURNED @ [3, 2, 1, 1], atol=1e-4)
    label = np.asarray(imputed_volume(project, "pretrained/one", "label").dataobj)
    assert set(np.unique(label)) == {0, 1}
    table = pd.read_csv(data / "08_reporting" / design(project) / "verification.csv")
    assert sorted(table["method"] + "/" + table["case"]) == [
        "pretrained/one",
        "pretrained/two",
    ]
    chosen = json.loads(
        (data / "07_model_output" / design(project) / "imputing_methods.json").read_text()
    )
    assert chosen == ["pretrained"]
    assert not (data / "06_models").exists()
    imputed = str(data / "07_model_output" / design(project) / "imputed")
    assert (
        main(
            [
                "verify",
                imputed,
                "--against",
                str(data / "03_primary" / design(project, "") / "acquired"),
            ]
        )
        == 0
    )
    assert "2 of 2 cases ok" in capsys.readouterr().out


@pytest.mark.slow
def test_neither_another_folder_nor_another_count_replaces_what_is_there(scans, project, kedro):
    """Two scans of one name; then the first once more, with one slice per interval."""
    first = scans(brain=False)
    other = project / "other"
    shutil.copytree(first, other)
    turned = nib.load(other / "images" / "brain.nii.gz")
    nib.save(
        nib.Nifti1Image(np.asarray(turned.dataobj)[::-1], turned.affine),
        other / "images" / "brain.nii.gz",
    )
    methods = "imputation.methods=[cubic,linear]"
    for raw, params in ((first, ""), (other, ""), (first, ",imputation.count=1")):
        done = kedro(project, *RUN, f"--params={methods}{params}", SLICEFILL_RAW=str(raw))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 volumes, new: 1 case by cubic, linear" in done.stdout
    found = sorted((project / "data" / "07_model_output").rglob("image.nii.gz"))
    places = (design(project), design(project, "_count1"), design(project, name="other"))
    expected = {
        project / "data" / "07_model_output" / place / "imputed" / method / "brain" / "image.nii.gz"
        for place in places
        for method in ("cubic", "linear")
    }
    assert set(found) == expected
    depths = {path: nib.load(path).shape[2] for path in found}
    assert {depth for path, depth in depths.items() if "_count1" in str(path)} == {13}  # 7 and 6
    assert min(depth for path, depth in depths.items() if "_count1" not in str(path)) > 13


def test_what_is_dense_already_or_would_become_too_large_is_named_and_left_out(
    scans, project, kedro
):
    """Too large as by a header that says 0.001 mm: no reason for thousands of slices."""
    raw = scans(thick=False, thin=False)
    stored = np.asarray(nib.load(raw / "images" / "thick.nii.gz").dataobj)
    for name, pitch in {"cubes": (1, 1, 0.75 / 4, 1), "thin": (1e-3, 1e-3, 1, 1)}.items():
        given = nib.Nifti1Image(stored, TURNED @ np.diag(pitch))
        nib.save(given, raw / "images" / f"{name}.nii.gz")
    done = kedro(project, *RUN, "--params=imputation.methods=[linear]", SLICEFILL_RAW=str(raw))
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert "dense already, not imputed: cubes: slices 0.8 mm apart" in said
    assert "1 case needs no imputing, its slices are dense already: cubes" in done.stdout
    assert "refused: thin: expected at most 2000 slices and 4 GB of output, found" in said
    assert "1 refused; the log says why" in done.stdout
    assert "failed" not in said
    made = project / "data" / "07_model_output" / design(project)
    assert [path.name for path in (made / "imputed" / "linear").iterdir()] == ["thick"]
    assert list(json.loads((made / "dense_cases.json").read_text())) == ["cubes"]
    assert list(json.loads((made / "refused_cases.json").read_text())) == ["thin"]


def test_scans_that_are_all_dense_already_end_well(scans, project, kedro):
    raw = scans(cubes=True)
    for kind in ("images", "labels"):
        path = raw / kind / "cubes.nii.gz"
        stored = np.asarray(nib.load(path).dataobj)
        nib.save(nib.Nifti1Image(stored, np.diag([1.0, 1.0, 1.0, 1.0])), path)
    run = ("run", "--env=scans", "--pipelines=imputation,evaluation")
    done = kedro(project, *run, "--params=imputation.methods=[linear]", SLICEFILL_RAW=str(raw))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 case needs no imputing" in done.stdout


@pytest.mark.server
def test_one_scan_is_enough_and_what_is_imputed_is_kept(scans, project, kedro):
    raw = scans(only=False)
    assert kedro(project, *RUN, SLICEFILL_RAW=str(raw)).returncode == 0
    folder = project / "data" / "07_model_output" / design(project) / "imputed"
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")}
    assert len(made) == 3  # image, mask and confidence
    assert kedro(project, *RUN, SLICEFILL_RAW=str(raw)).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")} == made

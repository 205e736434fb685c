"""What holds on a disk holds in an object store: a server of S3 on this machine stands for one."""

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from kedro.io import DatasetError
from matplotlib.figure import Figure
from upath import UPath

from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.checkpoints import ModelsDataset, ReleaseDataset, StatesDataset
from slicefill.datasets.figures import FiguresDataset
from slicefill.datasets.raw import RawFolder, VirtualSubjects
from slicefill.ingestion.manifest import check_cases
from slicefill.io import storage
from slicefill.params import IngestionParams
from slicefill.types import ModelPromise, Prediction, Promise

ACCESS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def store():
    """Environment variables that lead to a store of this machine's own."""
    server = pytest.importorskip("moto.server", reason="moto's server is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = server.ThreadedMotoServer("127.0.0.1", port, verbose=False)
    running.start()
    access = {**ACCESS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in access.items():
            patch.setenv(name, value)
        UPath("s3://slicefill").mkdir()
        yield access
    running.stop()


@pytest.fixture(params=["disk", "store"])
def root(request, tmp_path):
    """A folder that does not exist yet, on a disk and in a store."""
    if request.param == "disk":
        return UPath(tmp_path / "data")
    request.getfixturevalue("store")
    return UPath("s3://slicefill", tmp_path.name)


@pytest.fixture
def cases(root):
    return CasesDataset(path=str(root / "cases"), made_by="ingestion")


def names(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


def interrupt_after(patch, count):
    """Let so many files of a case be written, then stop."""
    written = []

    def stopping(original):
        def write(path, content):
            if path.suffix != ".partial":  # of a single file, not of a case
                if len(written) == count:
                    raise KeyboardInterrupt
                written.append(path)
            original(path, content)

        return write

    for name in ("_write_through", "replace_file"):  # on a disk, and in a store
        patch.setattr(storage, name, stopping(getattr(storage, name)))


def test_two_writers_of_one_folder_do_not_disturb_each_other(root):
    """As a worker that was taken for lost, and the one that took its place."""

    def encode():
        return b"voxels"

    def interrupted():
        storage.replace_folder(root / "a", {"image": encode, "record": encode})
        return b"voxels"

    storage.replace_folder(root / "a", {"old": encode, "record": encode})
    storage.replace_folder(root / "a", {"image": encode, "record": interrupted})
    assert names(root) == ["a/image", "a/record"]
    assert (root / "a" / "image").read_bytes() == b"voxels"


def test_many_writers_of_one_folder_leave_one(tmp_path):
    def write(number):
        files = dict.fromkeys(("image", "record"), lambda: bytes([number]))
        storage.replace_folder(tmp_path / "a", files)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert names(tmp_path) == ["a/image", "a/record"]
    assert len({(tmp_path / name).read_bytes() for name in ("a/image", "a/record")}) == 1


def test_cases_come_back_bit_for_bit_and_nothing_else_is_left(cases, root, case):
    made = replace(case(), maps={"confidence": case(seed=3).label})
    cases.save({"linear/a": Promise(lambda: made, "1")})
    back = cases.load()["linear/a"].make()
    for was, found in (
        (made.image, back.image),
        (made.maps["confidence"], back.maps["confidence"]),
    ):
        assert found.stored.tobytes() == was.stored.tobytes()
        np.testing.assert_array_equal(found.affine, was.affine)
    assert back.record == {"seed": 0, "fingerprint": "1"}
    assert cases.exists()
    files = [f"linear/a/{name}" for name in ("image.nii.gz", "label.nii.gz", "record.json")]
    assert names(root / "cases") == [
        "_COMPLETE",
        "_failed.json",
        "linear/a/confidence.nii.gz",
        *files,
    ]


def test_a_case_in_place_is_not_made_again_and_a_new_one_replaces_all_of_it(cases, root, case):
    cases.save({"a": Promise(case, "1")})
    cases.save({"a": Promise(lambda: pytest.fail("made again"), "1")})
    cases.save({"a": Promise(lambda: replace(case(seed=2), label=None), "2")})
    assert cases.load()["a"].make().record["seed"] == 2
    assert names(root / "cases" / "a") == ["image.nii.gz", "record.json"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_case_interrupted_in_mid_save_does_not_count(cases, case, monkeypatch, count):
    cases.save({"a": Promise(case, "1"), "b": Promise(case, "1")})
    with monkeypatch.context() as patch:
        interrupt_after(patch, count)
        with pytest.raises(KeyboardInterrupt):
            cases.save({"a": Promise(case, "1"), "b": Promise(lambda: case(seed=2), "2")})
    assert not cases.exists()
    with pytest.raises(DatasetError, match="expected finished cases"):
        cases.load()
    cases.save({"a": Promise(case, "1"), "b": Promise(lambda: case(seed=2), "2")})
    assert cases.load()["b"].make().record["seed"] == 2


def test_a_failing_case_leaves_nothing_stale(cases, root, case):
    cases.save({"a": Promise(case, "1"), "b": Promise(case, "1")})
    cases.save({"a": Promise(case, "1"), "b": Promise(lambda: {}["no luck"], "2")})
    assert list(cases.load()) == ["a"]
    assert cases.failures() == {"b": "KeyError: 'no luck'"}
    assert names(root / "cases" / "b") == []


def test_predictions_come_back(root, case):
    dataset = CasesDataset(path=str(root), made_by="segmentation", content="prediction")
    made = Prediction(case().label, record={"network": "unet2d"})
    dataset.save({"linear/a": Promise(lambda: made, "1")})
    back = dataset.load()["linear/a"].make()
    np.testing.assert_array_equal(back.label.stored, made.label.stored)


def test_models_and_states_come_back(root):
    weights = torch.tensor([1.0, float("nan"), -0.0])
    store = StatesDataset(path=str(root / "last")).load()["linear/unet2d"]
    assert store.load() is None
    store.save({"epoch": 1})
    store.save({"epoch": 2})
    assert store.load() == {"epoch": 2}
    models = ModelsDataset(path=str(root), variant="iia", nested=True)
    assert models.load() == {}
    models.save({name: ModelPromise(lambda: {"w": weights}, "1") for name in ("iia", "sub/b")})
    models.save({"iia": ModelPromise(lambda: pytest.fail("made again"), "1")})
    found = models.load()
    assert list(found) == ["iia", "sub/b"]
    assert found["iia"]()["w"].numpy().tobytes() == weights.numpy().tobytes()
    assert models.exists()
    assert names(root) == ["_failed.json", "iia.pt", "last/linear/unet2d.pt", "sub/b.pt"]


def test_figures_come_back_and_replace_those_of_the_last_save(root):
    dataset = FiguresDataset(filepath=str(root / "figures"))
    assert not dataset.exists()
    dataset.save({name: Figure(figsize=(1, 1)) for name in ("b", "a")})
    dataset.save({"c": Figure(figsize=(1, 1))})
    assert list(dataset.load()) == ["c"]
    assert dataset.load()["c"].startswith(b"\x89PNG")


def test_raw_scans_are_read_where_they_lie(root, configuration, monkeypatch, tmp_path):
    """ITK and pydicom read files only: a copy is lent to them and taken away again."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    VirtualSubjects(path=str(root), subjects=2, seed=5, crop=[32, 34, 36]).load()
    params = IngestionParams(**configuration("tiny")["parameters"]["ingestion"])
    manifest, report = check_cases(RawFolder(path=str(root)).load(), params)
    assert list(manifest["image"]) == [f"images/virtual-0{number}.nii.gz" for number in (1, 2)]
    assert report.empty
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"data"}


def test_what_another_process_wrote_is_seen(store, tmp_path, python):
    """A listing kept in memory would hide what a worker has written since."""
    models = ModelsDataset(path="s3://slicefill/shared", nested=True)
    models.save({"a": ModelPromise(dict, "1")})
    assert list(models.load()) == ["a"]
    code = """
from slicefill.io.storage import location, replace_file
replace_file(location("s3://slicefill/shared/b.pt"), b"")
"""
    done = python(tmp_path, "-c", code, **store)
    assert done.returncode == 0, done.stderr
    assert list(models.load()) == ["a", "b"]


@pytest.mark.server
def test_the_whole_study_runs_in_a_store(store, project, kedro):
    root = UPath("s3://slicefill/study")
    run = ("run", "--env=tiny")
    options = {**store, "SLICEFILL_ROOT": str(root), "SLICEFILL_TRACKING": "on"}
    done = kedro(project, *run, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    imputed = root / "07_model_output" / "tiny" / "S_x4" / "imputed"
    assert (imputed / "slice_imputation" / "virtual-04" / "record.json").exists()
    assert (root / "08_reporting" / "tiny" / "S_x4" / "report.html").exists()
    assert {path.name for path in (project / "data").iterdir()} == {"mlflow"}
    again = kedro(project, *run, "--only-missing-outputs", **options)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "imputation.impute_cases" not in again.stdout + again.stderr


def test_weights_are_released_where_the_data_is(root, untrained):
    released = ReleaseDataset(path=str(root / "release"))
    assert not released.exists()
    released.save(untrained)
    assert released.exists()
    assert names(root / "release") == ["model.json", "weights.safetensors"]
    back = released.load()["weights"]
    assert all(torch.equal(back[name], value) for name, value in untrained["weights"].items())

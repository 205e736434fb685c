import hashlib
import json
import platform
import socket
from pathlib import Path

import mlflow
from pandas import DataFrame, read_csv

from slicefill import tracking

MANIFEST = DataFrame(
    {
        "case": ["anna_1", "anna_2", "bert"],
        "subject": ["anna", "anna", "bert"],
        "views": ["anna", "anna", "bert"],
        "image": [f"/clinic/{name}.nii.gz" for name in ("anna_1", "anna_2", "bert")],
        "label": ["/clinic/anna_1_seg.nii.gz", "", ""],
        "shape": ["4x4x4"] * 3,
        "image_sha256": ["a" * 64, "b" * 64, "c" * 64],
        "label_sha256": ["d" * 64, "", ""],
    }
)
SPLITS = MANIFEST[["case", "subject"]].assign(split=["train", "train", "test"])


def test_the_data_of_a_run_are_its_inputs_by_digest(start):
    run, client = start()
    tracking.log_inputs("tiny", MANIFEST, SPLITS)
    inputs = client.get_run(run).inputs.dataset_inputs
    found = {one.tags[0].value: one.dataset for one in inputs}
    assert {context: data.name for context, data in found.items()} == {
        "training": "tiny",
        "test": "tiny",
    }
    files = "\n".join(["", "a" * 64, "b" * 64, "d" * 64])  # of anna: two images, one label map
    assert found["training"].digest == hashlib.sha256(files.encode()).hexdigest()[:12]
    assert json.loads(found["training"].profile) == {"cases": 2, "subjects": 1}


def test_the_same_files_under_other_names_are_the_same_data(start):
    digests = []
    for names in (["anna_1", "anna_2", "bert"], ["x", "y", "z"]):
        run, client = start()
        named = MANIFEST.assign(case=names)
        tracking.log_inputs("tiny", named, SPLITS.assign(case=names))
        inputs = client.get_run(run).inputs.dataset_inputs
        digests.append(sorted(one.dataset.digest for one in inputs))
        tracking.end_run("FINISHED")
    assert digests[0] == digests[1]


def test_the_manifest_of_a_run_names_nobody_and_keeps_subjects_apart(start, tmp_path):
    run, client = start()
    tracking.log_inputs("tiny", MANIFEST, SPLITS)
    path = Path(client.download_artifacts(run, "manifest.csv", str(tmp_path)))
    said = path.read_text() + str(client.get_run(run).to_dictionary())
    for name in ("anna", "bert", "clinic"):
        assert name not in said
    table = read_csv(path)
    assert list(table["case"]) == ["a" * 12, "b" * 12, "c" * 12]
    assert table["subject"][0] == table["subject"][1] != table["subject"][2]
    assert list(table["split"]) == ["train", "train", "test"]


def test_the_environment_of_a_run_is_among_its_artifacts(start, tmp_path):
    run, client = start()
    tracking.log_environment()
    folder = Path(client.download_artifacts(run, "environment", str(tmp_path)))
    packages = (folder / "packages.txt").read_text().splitlines()
    assert f"mlflow=={mlflow.__version__}" in packages
    machine = json.loads((folder / "machine.json").read_text())
    assert machine["python"] == platform.python_version()
    assert machine["memory_gib"] > 0
    assert socket.gethostname() not in json.dumps(machine)

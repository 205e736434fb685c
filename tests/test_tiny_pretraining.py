"""`kedro run --pipelines=pretraining` at a tiny size: from no scans at all to released weights."""

import json

import pytest
import torch

from slicefill.imputation.methods.pretrained import read_pretrained
from slicefill.io.checkpoints import read_checkpoint

pytestmark = pytest.mark.server
SMALL = (
    "variant=universal,pretraining.size=40,pretraining.training=3,pretraining.validation=1,"
    "pretraining.calibration=2,pretraining.confidence.voxels=500,synthesis.preset=universal,"
    "synthesis.groups.in_plane=0"
)


@pytest.fixture(scope="module")
def pretrained(shared_project, kedro):
    """The project after the pipeline, and the folder of its models."""
    command = ("run", "--env=tiny", "--pipelines=pretraining", f"--params={SMALL}")
    done = kedro(shared_project, *command)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return shared_project, shared_project / "data" / "06_models" / "tiny" / "S_x4", command


def test_what_is_released_is_what_was_trained(pretrained):
    folder = pretrained[1]
    trained = read_checkpoint(folder / "universal.pt")
    released = read_pretrained(folder / "release")
    assert released["weights"].keys() == trained["weights"].keys()
    assert all(torch.equal(w, trained["weights"][k]) for k, w in released["weights"].items())


def test_it_says_what_confidence_means(pretrained):
    described = json.loads((pretrained[1] / "release" / "model.json").read_text())
    assert described["parts"]["context"]
    assert {"with_cycle", "without_cycle"} <= set(described["confidence"])


def test_a_second_run_trains_nothing(pretrained, kedro):
    project, folder, command = pretrained
    before = (folder / "universal.pt").read_bytes()
    done = kedro(project, *command)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/" not in done.stdout + done.stderr
    assert (folder / "universal.pt").read_bytes() == before

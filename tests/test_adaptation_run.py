"""`kedro run --pipelines=adaptation`: scans in, imputed scans out, and a report of the gain."""

import json
from importlib import resources

import pandas as pd
import pytest

from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not resources.files("slicefill.imputation.methods.pretrained")
        .joinpath("weights.safetensors")
        .is_file(),
        reason="no weights are shipped yet",
    ),
]
DESIGN = "tiny/S_x4"


@pytest.fixture
def adapt(project, kedro):
    """Run adaptation, and return what was said in one line."""

    def run(*overrides):
        params = ",".join(["imputation.methods=[linear]", *overrides])
        done = kedro(project, "run", "--env=tiny", "--pipelines=adaptation", f"--params={params}")
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-3000:]
        return " ".join(said.split())

    return run


def test_scans_are_learned_from_imputed_and_told_of_and_nothing_is_done_twice(project, adapt):
    adapt()
    data = project / "data"
    assert [p.name for p in (data / "06_models" / DESIGN).glob("*.pt")] == ["adapted.pt"]
    gains = pd.read_csv(data / "08_reporting" / DESIGN / "adaptation_gains.csv")
    assert set(gains["slices"]) == {"in_plane", "through_plane"}
    assert gains["gain_db"].notna().all()  # it was trained
    (used,) = set(gains["used"])
    assert used in (ADAPTED, PRETRAINED)
    table = pd.read_csv(data / "08_reporting" / DESIGN / "verification.csv")
    assert set(table["method"]) == {"linear", used}
    assert table["passed"].all()
    imputed = data / "07_model_output" / DESIGN / "imputed"
    assert {folder.name for folder in imputed.iterdir() if folder.is_dir()} == {"linear", used}
    for file in (imputed / used).rglob("record.json"):
        assert json.loads(file.read_text())["weights"] == used
    report = (data / "08_reporting" / DESIGN / "report.html").read_text()
    assert "Adaptation against the shipped weights" in report
    assert "the model on disk has the same data and parameters" in adapt()


def test_with_too_little_held_out_nothing_is_trained_and_the_shipped_weights_impute_as_themselves(
    project, adapt
):
    said = adapt("adaptation.largest_p=0.000001")
    assert "too little to tell" in said
    assert "kedro run --pipelines" not in said  # advice without the environment in use
    data = project / "data"
    imputed = data / "07_model_output" / DESIGN / "imputed"
    assert {folder.name for folder in imputed.iterdir() if folder.is_dir()} == {
        "linear",
        "pretrained",
    }
    report = (data / "08_reporting" / DESIGN / "report.html").read_text()
    assert "Adaptation kept the shipped weights: too little to tell" in report

"""`kedro run --pipelines=adaptation`: scans in, imputed scans out, and a report of the gain."""

import json
from importlib import resources

import pandas as pd
import pytest

from slicefill.imputation.methods.pretrained import ADAPTED, SHIPPED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not resources.files("slicefill.imputation.methods.pretrained")
        .joinpath("weights.safetensors")
        .is_file(),
        reason="no weights are shipped yet",
    ),
]
RUN = ("run", "--env=tiny", "--params", "imputation.methods=[linear]")


def test_scans_are_learned_from_imputed_and_told_of_and_nothing_is_done_twice(project, kedro):
    done = kedro(project, *RUN, "--pipelines=adaptation")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    data = project / "data"
    assert [p.name for p in (data / "06_models/tiny/S_x4/adaptation").glob("*.pt")] == [
        "adapted.pt"
    ]
    table = pd.read_csv(data / "08_reporting/tiny/S_x4/verification.csv")
    assert set(table["method"]) == {"linear", "adapted"}
    assert table["passed"].all()
    for file in (data / "07_model_output/tiny/S_x4/imputed/adapted").rglob("record.json"):
        record = json.loads(file.read_text())
        assert record["weights"] == "adapted"
        found = record["adaptation"]
        assert found["used"] in (ADAPTED, SHIPPED)
        assert found["held_out"] == "slices"
        assert found["minutes"] == 0.05
    gains = pd.read_csv(data / "08_reporting/tiny/S_x4/adaptation_gains.csv")
    assert set(gains["slices"]) == {"in_plane", "through_plane"}
    report = (data / "08_reporting/tiny/S_x4/report.html").read_text()
    assert "Adaptation against the shipped weights" in report

    asked = "imputation.methods=[linear],imputation.adapt.minutes=0.05"
    again = kedro(project, "run", "--env=tiny", "--pipelines=imputation", "--params", asked)
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]
    assert "the model on disk is of these data and parameters" in " ".join(again.stdout.split())

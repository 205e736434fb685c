"""`--pipelines=fusion` in a process of its own: given labels, then those of a network."""

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

REPORT = "data/08_reporting/tiny/views_own"


def test_views_are_fused_by_given_labels_and_then_by_predicted_ones(shared_project, kedro):
    run = ("run", "--env=tiny", "--pipelines=fusion")
    done = kedro(shared_project, *run)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    given = pd.read_csv(shared_project / REPORT / "scores.csv").set_index("method")
    assert given.loc["gaussian", "dice_mean"] > given.loc["alone", "dice_mean"]
    assert (shared_project / REPORT / "table.md").exists()
    models = shared_project / "data/06_models/tiny/views_own"
    assert not list(models.rglob("*.pt"))  # nothing is trained that no row needs

    changed = (
        "fusion.masks=network,fusion.methods.vote.registration=alignnet,"
        "fusion.methods.nearest.masks=intertwined,fusion.methods.nearest.registration=alignnet"
    )
    done = kedro(shared_project, *run, "--params", changed)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    trained = {path.relative_to(models).as_posix() for path in models.rglob("*.pt")}
    networks = {"segmentation/views/dynunet3d_0.pt", "alignment/alignnet.pt"}
    assert networks | {"intertwined/intertwined.pt"} <= trained
    predicted = pd.read_csv(shared_project / REPORT / "scores.csv").set_index("method")
    assert set(predicted.index) == set(given.index)
    assert predicted.loc["gaussian", "dice_mean"] < given.loc["gaussian", "dice_mean"]
    errors = pd.read_csv(shared_project / REPORT / "registration.csv")
    assert {"rigid", "alignnet", "intertwined"} <= set(errors["registration"])

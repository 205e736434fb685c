"""The presets of issue 14 resolve in every experiment, and run on the tiny one."""

import pandas as pd
import pytest

from slicefill.imputation.methods import find_method
from slicefill.params import ACQUIRED_ONLY, ORACLE, ComparisonParams

PRESETS = {
    "acquired": "hippocampus_acquired",
    "acquired_24": "hippocampus_acquired",
    "acquired_all": "hippocampus_acquired",
    "acquired_quick": "hippocampus_acquired",
    "dense3d": "hippocampus_dense3d",
    "through_plane_weight": "hippocampus_through_plane",
}


@pytest.mark.parametrize(("preset", "env"), PRESETS.items())
def test_every_row_has_a_method_and_a_reference_that_differs_in_what_is_asked(
    configuration, preset, env
):
    parameters = configuration(env)["parameters"]
    comparison = ComparisonParams(**{**parameters["comparison"], "preset": preset})
    for row in comparison.chosen.values():
        assert row.engine in parameters["segmentation"]["engines"]
        if row.imputed_by not in (ACQUIRED_ONLY, ORACLE):
            find_method(row.imputed_by, parameters)
    compared = {name for rows in comparison.references.values() for name in rows}
    assert compared | {comparison.presets[preset].reference} == set(comparison.chosen)


def test_acquired_slices_are_compared_within_equal_transforms_and_steps(configuration):
    parameters = configuration("hippocampus_acquired")["parameters"]
    comparison = ComparisonParams(**parameters["comparison"])
    rows = comparison.chosen
    assert len({comparison.network(name) for name in rows}) == len(rows) == 20
    for reference, own in comparison.references.items():
        for name in own:
            both = rows[name], rows[reference]
            if rows[name].imputed_by != ACQUIRED_ONLY:
                assert len({(row.transforms, row.steps) for row in both}) == 1
    assert len(parameters["segmentation"]["seeds"]) >= 20
    assert comparison.presets["acquired"].subjects == 6


def test_the_rows_of_the_weight_differ_in_nothing_but_the_weight(configuration):
    parameters = configuration("hippocampus_through_plane")["parameters"]
    for inner in (1, 3):
        names = [f"si_n{inner}_tp{share}" for share in (0, 1, 10, 50)]
        found = [find_method(name, parameters).params for name in names]
        weights = [params.lambdas.get("tp_smooth", 0.0) for params in found]
        assert weights == sorted(set(weights))
        others = [{**params.in_force, "lambdas": None, "parts": None} for params in found]
        assert all(own == others[0] for own in others)
        without = [{**p.lambdas, "tp_smooth": 0} for p in found]
        assert all(own == without[0] for own in without)
        assert found[0].groups.inner == (inner, inner)
        assert all(params.keeps_last for params in found)


SHORT = (  # 14 networks that see two batches are enough to say that every row runs
    "segmentation.optimisation.epochs=1,segmentation.optimisation.steps_per_epoch=2,"
    "synthesis.optimisation.epochs=1,synthesis.optimisation.groups_per_epoch=8"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "more", "rows"),
    [
        ("acquired", ",comparison.presets.acquired.subjects=1", 20),
        ("dense3d", ",scoring.slices=all", 14),
        ("through_plane_weight", "", 8),
    ],
)
def test_the_preset_runs_on_the_tiny_experiment(shared_project, kedro, preset, more, rows):
    arguments = (
        "--env=tiny",
        "--pipelines=comparison",
        "--params",
        f"preset={preset},{SHORT}{more}",
    )
    done = kedro(shared_project, "run", *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    reporting = shared_project / "data/08_reporting/tiny/S_x4" / preset
    assert len(set(pd.read_csv(reporting / "scores.csv")["method"])) == rows
    imputed = sorted(path.stem for path in (reporting / "imputed").glob("*.csv"))
    if preset != "through_plane_weight":
        assert imputed == []
        return
    assert imputed == ["scores", "summary", "tests"]
    scores = pd.read_csv(reporting / "imputed/scores.csv")
    assert len(scores) == rows
    assert {"gradient_ratio", "row_gradient_ratio", "column_gradient_ratio"} <= set(scores)
    assert scores["dice_mean"].notna().all()

"""Adaptation in the pipelines: what it learns from, what imputes then."""

import pytest

from slicefill.advice import remember_run
from slicefill.datasets.checkpoints import StateFiles
from slicefill.imputation import impute as imputing
from slicefill.imputation.choice import Choice
from slicefill.imputation.methods import pretrained
from slicefill.imputation.methods.adapted import adaptation as library
from slicefill.imputation.methods.adapted import sufficiency
from slicefill.pipelines.adaptation import choose_methods
from slicefill.pipelines.imputation import nodes
from slicefill.pipelines.imputation.nodes import impute_cases
from slicefill.pipelines.synthesis.nodes import train_models


@pytest.fixture
def params(imputation_params):
    return lambda **changes: imputation_params(
        **{"methods": ["linear", "iia"], "through_plane": "auto", "count": 2, **changes}
    )


@pytest.fixture(autouse=True)
def shipped(untrained, monkeypatch):
    """Random weights in the place of the shipped ones."""
    monkeypatch.setattr(pretrained, "load_pretrained", lambda: untrained)


@pytest.fixture
def learn(acquired_case, splits, tiny_parameters, tmp_path):
    """What is promised where the adapted weights are among the methods."""

    def promise(names=("adapted",), minutes=2.0, cases="test"):
        own = tiny_parameters["adaptation"]
        parameters = {
            **tiny_parameters,
            "imputation": {**tiny_parameters["imputation"], "cases": cases},
            "adaptation": {**own, "optimisation": {**own["optimisation"], "minutes": minutes}},
        }
        return train_models(
            acquired_case, {}, splits, StateFiles(tmp_path), {}, list(names), parameters
        )

    return promise


@pytest.fixture
def adapted(untrained):
    return {**untrained, "kind": "adapted", "adaptation": {"used": "adapted", "gain_db": 0.3}}


@pytest.fixture
def fill(acquired_case, splits, tiny_parameters):
    def promise(params, models=None):
        return impute_cases(
            acquired_case, splits, models or {}, params.methods, params, tiny_parameters, {}, {}
        )

    return promise


def test_methods_that_do_not_learn_promise_no_model(learn):
    assert learn(["linear", "pretrained"]) == {}


def test_what_is_imputed_is_learned_from_and_nothing_else(learn, untrained, monkeypatch):
    seen = []
    monkeypatch.setattr(library, "adapt", lambda *given: seen.append(given) or untrained)
    for cases in ("test", "all"):
        learn(cases=cases)["adapted"].make()
    assert [list(scans.cases) for scans, *_ in seen] == [["b", "c"], ["a", "b", "c"]]
    assert seen[0][0].subjects["b"] == "2"
    assert {params.optimisation.minutes for _, _, params, _ in seen} == {2}


def test_another_time_or_case_makes_another_model(learn):
    made = [learn(), learn(minutes=3.0), learn(cases="all")]
    assert len({promises["adapted"].fingerprint for promises in made}) == 3
    assert learn()["adapted"].fingerprint == made[0]["adapted"].fingerprint


@pytest.mark.parametrize("named", [["linear", "iia"], ["linear", "iia", "adapted"]])
def test_its_own_pipeline_imputes_with_it_too_and_trains_nothing_else(named):
    assert choose_methods(named) == (["linear", "iia", "adapted"], ["adapted"])


@pytest.mark.parametrize(
    ("methods", "imputed"),
    [
        (["linear", "iia", "adapted"], ["linear", "adapted"]),
        (["linear", "pretrained", "adapted"], ["linear", "pretrained", "adapted"]),
        (["si_refined", "adapted"], ["si_refined", "adapted"]),
        (["adapted", "linear"], ["adapted", "linear"]),
    ],
)
def test_adapted_weights_impute_where_they_are_named(fill, params, adapted, methods, imputed):
    """In the place of a method that is not trained, and beside one that is."""
    models = {"si_refined": lambda: adapted, "adapted": lambda: adapted}
    assert fill(params(methods=methods), models)[1] == imputed


def test_adapted_weights_of_an_earlier_run_impute_only_when_named(fill, params, adapted):
    models = {"adapted": lambda: adapted}
    assert fill(params(), models)[1] == ["linear", "pretrained"]
    assert fill(params(methods=["adapted"]), models)[1] == ["adapted"]


@pytest.mark.parametrize("weights", ["pretrained", "own"])
def test_shipped_weights_that_adaptation_kept_impute_under_their_own_name(
    fill, params, adapted, weights
):
    kept = {**adapted, "kind": "pretrained", "adaptation": {"used": "pretrained"}}
    rule = params(methods=["linear", "adapted"], weights=weights)
    imputed, methods = fill(rule, {"adapted": lambda: kept})
    assert methods == ["linear", "pretrained"]
    assert {name.partition("/")[0] for name in imputed} == {"linear", "pretrained"}
    record = imputed["pretrained/b"].make().record
    assert (record["method"], record["weights"]) == ("pretrained", "pretrained")


def test_where_adaptation_failed_the_shipped_weights_impute(fill, params):
    assert fill(params(methods=["linear", "adapted"]))[1] == ["linear", "pretrained"]


def test_a_case_says_whose_weights_imputed_it_and_what_was_gained(fill, params, adapted):
    rule = params(methods=["adapted"])
    record = fill(rule, {"adapted": lambda: adapted})[0]["adapted/b"].make().record
    assert record["weights"] == "adapted"
    assert record["adaptation"] == {"used": "adapted", "gain_db": 0.3}
    plain = fill(params(methods=["pretrained"]))[0]["pretrained/b"].make().record
    assert (plain["weights"], plain["adaptation"]) == ("pretrained", None)


def test_adaptation_makes_no_other_case_again(fill, params, adapted):
    before, _ = fill(params(methods=["linear", "pretrained"]))
    rule = params(methods=["linear", "pretrained", "adapted"])
    after, _ = fill(rule, {"adapted": lambda: adapted})
    for name, promise in before.items():
        assert after[name].fingerprint == promise.fingerprint


@pytest.fixture
def outside(monkeypatch):
    """Scans on which the shipped weights do not pay."""
    monkeypatch.setattr(imputing, "choose", lambda *_: Choice(0.93, 0.0, 8, 0.41, 0.2, 3.6, 2.0))
    remember_run("scans", {})


@pytest.fixture
def warn(fill, params, outside, caplog):
    """What is said of case b under a window of its own: no imputer of another test is taken."""

    def impute(models=None, **changes):
        window = {"kind": "fixed", "low": 0, "high": 200}
        imputed, _ = fill(params(methods=["pretrained"], window=window, **changes), models)
        with caplog.at_level("WARNING", logger=nodes.__name__):
            record = imputed["pretrained/b"].make().record
        return record, caplog.messages

    return impute


def test_a_scan_on_which_the_weights_do_not_pay_is_told_by_name(warn):
    record, (warning,) = warn()
    assert record["choice"]["cubic"] == 0.93
    said = "b: its own slices speak for cubic interpolation, which made 93% of the image"
    assert warning.startswith(said)
    assert "+3.6 dB better" in warning


def test_a_scan_on_which_they_pay_is_not(warn, monkeypatch):
    monkeypatch.setattr(imputing, "choose", lambda *_: Choice(0.4, 8, 0.4, 0.1, 0.0))
    record, warnings = warn()
    assert record["choice"]["image"] == "blend"
    assert warnings == []


def test_adaptation_is_advised_where_it_could_decide_and_was_not_tried(warn, adapted, monkeypatch):
    monkeypatch.setattr(sufficiency, "may_decide", lambda depth, **_: False)
    record, (warning,) = warn()
    assert warning.endswith("; look at the result")
    seen = []
    monkeypatch.setattr(sufficiency, "may_decide", lambda depth, **_: seen.append(depth) or True)
    _, (_, warning) = warn()
    assert seen == [sum("acquired" in one for one in record["slices"])]
    advice = "kedro run --env=scans --pipelines=adaptation"
    assert warning.endswith(f"; look at the result, or let them learn from it: {advice}")
    _, (*_, warning) = warn({"adapted": lambda: adapted})
    assert warning.endswith("; look at the result")

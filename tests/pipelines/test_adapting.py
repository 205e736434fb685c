"""Adaptation in the pipelines: when it is asked for, what it sees, what imputes then."""

import pytest
from slicefill.pipelines.imputation.adapting import adapt_weights

from slicefill.datasets.checkpoints import States
from slicefill.imputation.methods.adapted import adaptation as library
from slicefill.params import AdaptationParams
from slicefill.pipelines.adaptation.nodes import ask_for_adaptation
from slicefill.pipelines.imputation import adapting, nodes
from slicefill.pipelines.imputation.nodes import impute_cases


@pytest.fixture
def params(imputation_params):
    return lambda **changes: imputation_params(
        **{"methods": ["linear", "iia"], "through_plane": "auto", "count": 2, **changes}
    )


@pytest.fixture
def adaptation(configuration):
    return AdaptationParams(**configuration()["parameters"]["adaptation"])


@pytest.fixture(autouse=True)
def shipped(untrained, monkeypatch):
    """Random weights in the place of the shipped ones."""
    for module in (nodes, adapting):
        monkeypatch.setattr(module, "load_pretrained", lambda: untrained)


@pytest.fixture
def asked(acquired_case, splits, params, adaptation, tmp_path):
    """What is promised when the imputation pipeline is asked for it like this."""

    def promise(**changes):
        rule = params(**changes)
        return adapt_weights(acquired_case, splits, States(tmp_path), rule, adaptation)

    return promise


@pytest.fixture
def adapted(untrained):
    return {**untrained, "adaptation": {"used": "adapted", "gain_db": 0.3}}


@pytest.fixture
def fill(acquired_case, splits, synthesis_params):
    def promise(params, models=None, adapted=None):
        found = {"adapted": lambda: adapted} if adapted else {}
        return impute_cases(
            acquired_case, splits, models or {}, {}, found, params, synthesis_params
        )

    return promise


def test_nothing_is_adapted_unless_asked_for(asked):
    assert asked(adapt=None) == {}


def test_what_is_imputed_is_learned_from_and_nothing_else(asked, monkeypatch):
    seen = []
    monkeypatch.setattr(library, "adapt", lambda *given: seen.append(given) or {})
    for cases in ("test", "all"):
        asked(adapt={"minutes": 2}, cases=cases)["adapted"].make()
    assert [list(scans.cases) for scans, *_ in seen] == [["b", "c"], ["a", "b", "c"]]
    assert seen[0][0].subjects["b"] == "2"
    assert {params.optimisation.minutes for _, _, params, _ in seen} == {2}


def test_another_time_or_case_makes_another_model(asked):
    changes = [
        {},
        {"adapt": {"minutes": 3}},
        {"cases": "all"},
    ]
    marks = [asked(**{"adapt": {"minutes": 2}, **own})["adapted"].fingerprint for own in changes]
    assert len(set(marks)) == 3
    assert asked(adapt={"minutes": 2}, methods=["linear"])["adapted"].fingerprint == marks[0]


def test_its_own_pipeline_asks_for_it_and_leaves_what_was_asked_already(params, adaptation):
    made = ask_for_adaptation(params(adapt=None), adaptation)
    assert made.adapt.minutes == adaptation.optimisation.minutes
    assert made.model_copy(update={"adapt": None}) == params(adapt=None)
    own = params(adapt={"minutes": 0.5})
    assert ask_for_adaptation(own, adaptation) == own


@pytest.mark.parametrize(
    ("methods", "imputed"),
    [
        (["linear", "iia"], ["linear", "adapted"]),
        (["linear", "pretrained"], ["linear", "pretrained", "adapted"]),
        (["si_refined"], ["si_refined", "adapted"]),
        (["adapted", "linear"], ["adapted", "linear"]),
    ],
)
def test_adapted_weights_impute_where_they_were_asked_for(fill, params, adapted, methods, imputed):
    """In the place of a variant that is not trained, and beside one that is."""
    rule = params(methods=methods, adapt={"minutes": 1})
    assert fill(rule, {"si_refined": lambda: adapted}, adapted)[1] == imputed


def test_adapted_weights_of_an_earlier_run_impute_only_when_named(fill, params, adapted):
    assert fill(params(), None, adapted)[1] == ["linear", "pretrained"]
    assert fill(params(methods=["adapted"]), None, adapted)[1] == ["adapted"]


def test_where_adaptation_failed_the_shipped_weights_impute(fill, params):
    assert fill(params(adapt={"minutes": 1}))[1] == ["linear", "pretrained"]
    with pytest.raises(ValueError, match=r"no trained model 'adapted'.*--pipelines=adaptation"):
        fill(params(methods=["adapted"]))


def test_a_case_says_whose_weights_imputed_it_and_what_was_gained(fill, params, adapted):
    record = fill(params(adapt={"minutes": 1}), None, adapted)[0]["adapted/b"].make().record
    assert record["weights"] == "adapted"
    assert record["adaptation"] == {"used": "adapted", "gain_db": 0.3}
    plain = fill(params(methods=["pretrained"]))[0]["pretrained/b"].make().record
    assert (plain["weights"], plain["adaptation"], plain["domain"]) == ("pretrained", None, None)


def test_asking_for_adaptation_makes_no_other_case_again(fill, params, adapted):
    before, _ = fill(params(methods=["linear", "pretrained"]))
    after, _ = fill(params(methods=["linear", "pretrained"], adapt={"minutes": 1}), None, adapted)
    for name, promise in before.items():
        assert after[name].fingerprint == promise.fingerprint


def test_a_scan_unlike_what_the_weights_have_seen_is_told_by_name(
    fill, params, untrained, monkeypatch, caplog
):
    domain = {
        "histogram": [0.5, 0.5],
        "distance": 1.0,
        "structure": [0.0, 1000.0],
        "factors": [20, 30],
    }
    monkeypatch.setattr(nodes, "load_pretrained", lambda: {**untrained, "domain": domain})
    window = {"kind": "fixed", "low": 0, "high": 200}  # no imputer of another test is taken
    imputed, _ = fill(params(methods=["pretrained"], window=window))
    with caplog.at_level("WARNING", logger=nodes.__name__):
        record = imputed["pretrained/b"].make().record
    interval = record["domain"]["factor"]
    assert interval == pytest.approx(4 / 0.75, rel=0.01)  # 0.7, 0.8 and 4 mm
    (warning,) = caplog.messages
    assert warning.startswith(
        "b is unlike what the shipped weights have seen: slices are 5.3 pixels apart"
    )
    assert "(trained: 20 to 30)" in warning

import numpy as np
import pandas as pd
import pytest

from slicefill.imputation.methods import find_method, pretrained
from slicefill.metrics.scoring import corresponding_slices
from slicefill.params import ComparedMethod, ComparisonParams, EvaluationParams, ScoringParams
from slicefill.pipelines.comparison.images import score_imputed
from slicefill.pipelines.comparison.nodes import impute_for_methods, list_methods
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.types import Promise

SPLITS = pd.DataFrame({"case": ["a", "b"], "subject": ["1", "2"], "split": ["train", "test"]})


@pytest.fixture
def comparison(configuration):
    """A table of the methods given."""

    def make(*methods):
        values = configuration()["parameters"]["comparison"]
        table = {"title": "", "engine": "unet2d", "methods": list(methods), "reference": methods[0]}
        return ComparisonParams(**{**values, "preset": "own", "presets": {"own": table}})

    return make


@pytest.fixture
def acquired_case(case):
    return {name: Promise(lambda s=s: case(seed=s), f"mark {s}") for s, name in enumerate("ab")}


def test_every_method_of_the_rows_is_named_once(comparison, tiny_parameters):
    chosen = comparison("none", "si_na", "si", "pretrained", "none_untransformed")
    assert list_methods(chosen, tiny_parameters) == ["si", "pretrained"]


def test_every_segmentation_network_has_a_synthesis_training_of_its_own(
    comparison, tiny_parameters
):
    """With a seed of its own; what is not trained is there once, for all networks."""
    several = {**tiny_parameters["segmentation"], "seeds": [3, 4, 7]}
    parameters = {**tiny_parameters, "segmentation": several}
    chosen = comparison("none", "linear", "si_n1", "edsr", "pretrained")
    names = list_methods(chosen, parameters)
    repeated = [
        f"{name}{end}" for name in ("si_n1", "edsr") for end in ("", "_repeat1", "_repeat2")
    ]
    assert names == ["linear", *repeated, "pretrained"]
    own = [find_method(name, parameters).params for name in repeated]
    assert [each.optimisation.seed for each in own[:3]] == [0, 1, 2]
    assert [each.seed for each in own[3:]] == [0, 1, 2]
    rows = chosen.repeated(names, [3, 4, 7])
    assert {name: seeds for name, (_, seeds) in rows.items() if "si" in name} == {
        "si_n1": (3,),
        "si_n1_repeat1": (4,),
        "si_n1_repeat2": (7,),
    }
    assert rows["none"][1] == rows["linear"][1] == rows["pretrained"][1] == (3, 4, 7)
    groups = [rows[name][0].group for name in ("si_n1", "si_n1_repeat1")]
    assert groups == ["si_n1_n1", "si_n1_repeat1_n1"]


def test_an_unknown_repetition_is_refused(tiny_parameters):
    for name in ("none_such_repeat1", "si_repeatx"):
        with pytest.raises(ValueError, match="expected one of"):
            find_method(name, tiny_parameters)


def test_a_row_without_a_word_is_imputed_by_the_method_of_its_name(comparison):
    row = comparison("shape_based").chosen["shape_based"]
    assert (row.title, row.imputed_by, row.engine) == ("shape-based", "shape_based", "unet2d")


def test_shipped_weights_impute_for_their_row_and_for_no_other(
    acquired_case, comparison, imputation_params, tiny_parameters, untrained, monkeypatch
):
    """A variant whose training failed is a failure there: nothing stands in for it."""
    monkeypatch.setattr(pretrained, "load_pretrained", lambda: untrained)
    params = imputation_params(through_plane="auto", count=1)
    rows = comparison("pretrained", "iia")
    imputed, groups = impute_for_methods(
        acquired_case, {}, SPLITS, {}, params, rows, tiny_parameters
    )
    assert list(imputed) == ["pretrained/a", "pretrained/b", "iia/every_case"]
    assert groups == ["pretrained", "iia"]
    assert imputed["pretrained/a"].make().record["weights"] == "pretrained"
    with pytest.raises(ValueError, match="'iia' is not trained"):
        imputed["iia/every_case"].make()


def test_rows_that_learn_from_the_same_share_a_network(comparison):
    """Five ways to the fine grid, one checkpoint; the paper's rows have their own."""
    rows = comparison("shape_based_labels", "moved_labels", "cost_free", "linear_softmax", "fused")
    assert {rows.network(name) for name in rows.chosen} == {"none"}
    own = comparison("linear", "none_untransformed", "slice_imputation", "si_one_hot")
    assert [own.network(name) for name in own.chosen] == list(own.chosen)


@pytest.mark.parametrize("change", [{"predict": "phases"}, {"train_on": "acquired"}])
def test_no_imputation_has_no_fine_grid(change):
    with pytest.raises(ValueError, match="expected imputed_by, a method, beside predict"):
        ComparedMethod(title="", imputed_by="none", **change)


def test_only_test_cases_are_imputed_where_no_network_learns_from_them(
    acquired_case, comparison, imputation_params, tiny_parameters
):
    params = imputation_params(through_plane="auto", count=1)
    arguments = (acquired_case, {}, SPLITS, {}, params)
    alone = comparison("shape_based_labels", "cost_free")
    assert list(impute_for_methods(*arguments, alone, tiny_parameters)[0]) == [
        "shape_based/b",
        "linear/b",
    ]
    learned = comparison("linear", "cost_free")
    assert list(impute_for_methods(*arguments, learned, tiny_parameters)[0]) == [
        "linear/a",
        "linear/b",
    ]


def test_the_oracle_puts_the_removed_slices_back(
    case, comparison, imputation_params, tiny_parameters, subsampling
):
    true = case(shape=(12, 10, 11))
    thin = subsample(true, subsampling(axis="S", factor=4))
    acquired, isotropic = {"b": Promise(lambda: thin, "t")}, {"b": Promise(lambda: true, "i")}
    params, rows = imputation_params(), comparison("true_image")
    promised, groups = impute_for_methods(
        acquired, isotropic, SPLITS, {}, params, rows, tiny_parameters
    )
    assert groups == ["oracle"]
    made = promised["oracle/b"].make()
    axis = made.record["axis"]
    for found, real in ((made.image, true.image), (made.label, true.label)):
        expected = np.moveaxis(real.stored, axis, 0)[:9]  # slices 9 and 10 lie in no interval
        np.testing.assert_array_equal(np.moveaxis(found.stored, axis, 0), expected)
        np.testing.assert_array_equal(found.affine, real.affine)
    assert made.record["count"] == 3
    assert corresponding_slices(made.record) is None  # nothing in it is imputed
    same = {"b": Promise(lambda: true, "i")}
    refused, _ = impute_for_methods(same, same, SPLITS, {}, params, rows, tiny_parameters)
    with pytest.raises(ValueError, match="oracle: expected a scan whose slices were removed"):
        refused["oracle/b"].make()


def test_rows_are_tested_against_their_own_reference_or_that_of_the_preset(comparison):
    rows = comparison("none", "linear", "none_longer", "linear_longer", "none_untransformed")
    assert rows.references == {
        "none": ["linear", "none_longer", "none_untransformed"],
        "none_longer": ["linear_longer"],
    }
    assert comparison("none", "linear_longer").references == {"none": ["linear_longer"]}


def test_a_reference_that_is_no_row_is_refused(configuration):
    values = configuration()["parameters"]["comparison"]
    rows = {**values["methods"], "linear": {"reference": "none_such"}}
    with pytest.raises(
        ValueError, match=r"methods\.linear: .*reference among the rows, got none_such"
    ):
        ComparisonParams(**{**values, "methods": rows})


def test_what_is_imputed_is_scored_by_row_and_seed_where_the_preset_asks(
    case, comparison, imputation_params, configuration
):
    """A method that is not trained again has the same scores for every seed."""
    values = configuration()["parameters"]
    true = {"b": Promise(lambda: case(seed=1, shape=(16, 14, 9)), "b")}
    thin = AnisotropizationParams(axis="S", factor=4, profile="point", fwhm=None)
    acquired = {"b": Promise(lambda: subsample(true["b"].make(), thin), "b acquired")}
    rows = comparison("linear", "nearest_labels")
    params = imputation_params(through_plane="auto", count=3)
    imputed, _ = impute_for_methods(acquired, true, SPLITS, {}, params, rows, values)
    evaluation = EvaluationParams(**values["evaluation"])
    scoring = ScoringParams(**values["scoring"])

    def tables(images, imputed=imputed):
        own = rows.presets["own"].model_copy(update={"images": images})
        asked = rows.model_copy(update={"presets": {"own": own}})
        names = ["linear", "nearest"]
        return score_imputed(imputed, true, SPLITS, names, [0, 1], asked, evaluation, scoring)

    assert tables(images=False) == {}
    made = tables(images=True)
    scores = made["scores"].set_index(["method", "seed"])
    assert set(scores.index) == {
        (row, seed) for row in ("linear", "nearest_labels") for seed in (0, 1)
    }
    assert scores["mae_body"].xs("linear").nunique() == 1
    assert (scores["slices"] == 6).all()
    assert (scores["subject"] == "2").all()
    assert set(made["tests"]["reference"]) == {"linear"}
    assert made["unscored"].empty

    def fail():
        raise OSError("no such disk")

    half = tables(images=True, imputed={**imputed, "linear/b": Promise(fail, "")})
    assert half["unscored"].values.tolist() == [["linear/b", "OSError: no such disk"]]
    assert set(half["scores"]["method"]) == {"nearest_labels"}

import pytest

from slicefill.imputation.methods import pretrained
from slicefill.params import ComparisonParams
from slicefill.pipelines.comparison.nodes import impute_for_methods, list_methods
from slicefill.types import Promise


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


def test_every_method_of_the_rows_is_named_once(comparison):
    chosen = comparison("none", "si_na", "si", "pretrained", "none_untransformed")
    assert list_methods(chosen) == ["si", "pretrained"]


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
    imputed, groups = impute_for_methods(acquired_case, {}, params, rows, tiny_parameters)
    assert list(imputed) == ["pretrained/a", "pretrained/b", "iia/every_case"]
    assert groups == ["pretrained", "iia"]
    assert imputed["pretrained/a"].make().record["weights"] == "pretrained"
    with pytest.raises(ValueError, match="'iia' is not trained"):
        imputed["iia/every_case"].make()

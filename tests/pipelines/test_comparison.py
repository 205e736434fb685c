import pandas as pd
import pytest

from slicefill.params import ComparisonParams
from slicefill.pipelines.comparison.nodes import impute_for_methods, train_variants
from slicefill.pipelines.imputation import nodes
from slicefill.types import Promise

SPLITS = pd.DataFrame({"case": ["a", "b"], "split": ["train", "validation"], "subject": ["1", "2"]})


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


def test_shipped_weights_are_a_row_that_is_not_trained(acquired_case, synthesis_params, comparison):
    chosen = comparison("pretrained", "slice_imputation")
    promises = train_variants(
        acquired_case, SPLITS, {"slice_imputation": None}, {}, synthesis_params, chosen
    )
    assert list(promises) == ["slice_imputation"]


def test_shipped_weights_impute_for_their_row_and_for_no_other(
    acquired_case, comparison, imputation_params, untrained, monkeypatch
):
    """A variant whose training failed is a failure there: nothing stands in for it."""
    monkeypatch.setattr(nodes, "load_pretrained", lambda: untrained)
    params = imputation_params(through_plane="auto", count=1)
    imputed = impute_for_methods(acquired_case, {}, {}, params, comparison("pretrained", "iia"))
    assert list(imputed) == ["pretrained/a", "pretrained/b", "iia/every_case"]
    assert imputed["pretrained/a"].make().record["weights"] == "pretrained"
    with pytest.raises(ValueError, match="no trained model 'iia'"):
        imputed["iia/every_case"].make()

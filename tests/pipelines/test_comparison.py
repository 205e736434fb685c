import pandas as pd
import pytest

from slicefill.params import ComparisonParams
from slicefill.pipelines.comparison.nodes import fill_for_methods, train_variants
from slicefill.pipelines.imputation import nodes
from slicefill.types import Promise

SPLITS = pd.DataFrame({"case": ["a", "b"], "split": ["train", "validation"], "person": ["1", "2"]})


@pytest.fixture
def comparison(configuration):
    """A table of the methods given."""

    def make(*methods):
        values = configuration()["parameters"]["comparison"]
        table = {"title": "", "engine": "unet2d", "methods": list(methods), "reference": methods[0]}
        return ComparisonParams(**{**values, "preset": "own", "presets": {"own": table}})

    return make


@pytest.fixture
def thick(case):
    return {name: Promise(lambda s=s: case(seed=s), f"mark {s}") for s, name in enumerate("ab")}


def test_shipped_weights_are_a_row_that_is_not_trained(thick, synthesis_params, comparison):
    chosen = comparison("pretrained", "slice_imputation")
    promises = train_variants(
        thick, SPLITS, {"slice_imputation": None}, {}, synthesis_params, chosen
    )
    assert list(promises) == ["slice_imputation"]


def test_shipped_weights_fill_for_their_row_and_for_no_other(
    thick, comparison, imputation_params, untrained, monkeypatch
):
    """A variant whose training failed is a failure there: nothing stands in for it."""
    monkeypatch.setattr(nodes, "load_pretrained", lambda: untrained)
    params = imputation_params(through_plane="auto", count=1)
    filled = fill_for_methods(thick, {}, {}, params, comparison("pretrained", "iia"))
    assert list(filled) == ["pretrained/a", "pretrained/b", "iia/every_case"]
    assert filled["pretrained/a"].make().record["weights"] == "pretrained"
    with pytest.raises(ValueError, match="no trained model 'iia'"):
        filled["iia/every_case"].make()

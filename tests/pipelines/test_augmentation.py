from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import AugmentationParams, ComparisonParams
from slicefill.pipelines.augmentation.nodes import assemble_scans, list_slices
from slicefill.types import Promise

SPLITS = pd.DataFrame(
    {
        "case": ["a", "b", "c"],
        "subject": ["1", "2", "3"],
        "split": ["train", "validation", "test"],
    }
)


@pytest.fixture(scope="module")
def params(configuration):
    base = configuration("tiny")["parameters"]["augmentation"]
    return lambda **changes: AugmentationParams(**{**base, "through_plane": "auto", **changes})


@pytest.fixture(scope="module")
def comparison(configuration):
    """No imputation and linear, the latter segmented by another engine."""
    base = configuration("tiny")["parameters"]["comparison"]
    pair = {"title": "", "engine": "unet2d", "methods": ["none", "linear"], "reference": "none"}
    methods = {**base["methods"], "linear": {**base["methods"]["linear"], "engine": "dynunet3d"}}
    return ComparisonParams(preset="pair", presets={"pair": pair}, methods=methods)


@pytest.fixture(scope="module")
def acquired_case(case):
    """Four slices of 4 mm along the last axis."""
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    made = {name: case(seed=seed, affine=affine) for seed, name in enumerate("abc")}
    return {name: Promise(lambda c=c: c, name) for name, c in made.items()}


@pytest.fixture(scope="module")
def imputed(acquired_case, imputation_params):
    params = imputation_params(count=1, through_plane="auto")
    imputer = classical_imputer("linear", params)
    made = {
        f"linear/{name}": impute_case(p.make(), imputer, params)
        for name, p in acquired_case.items()
    }
    return {name: Promise(lambda c=c: c, name) for name, c in made.items()}


def test_every_slice_is_listed_with_its_origin_and_weight(
    acquired_case, imputed, params, comparison
):
    rule = params(synthetic_weight=0.25)
    manifest = list_slices(acquired_case, imputed, SPLITS, rule, comparison)
    linear = manifest.query("method == 'linear' and case == 'a'")
    assert list(linear["acquired"]) == [True, False] * 3 + [True]
    assert list(linear["weight"]) == [1, 0.25] * 3 + [1]
    assert set(linear["imputed"]) == {"linear/a"}
    assert set(linear["engine"]) == {"dynunet3d"}
    plain = manifest.query("method == 'none'")
    assert plain["acquired"].all()
    assert set(plain["imputed"]) == {""}
    assert set(plain["split"]) == {"train", "validation", "test"}


def test_a_case_that_a_method_could_not_impute_is_left_out_for_it_alone(
    acquired_case, imputed, params, comparison
):
    some = {name: promise for name, promise in imputed.items() if name != "linear/b"}
    manifest = list_slices(acquired_case, some, SPLITS, params(), comparison)
    assert set(manifest.query("method == 'linear'")["case"]) == {"a", "c"}
    assert set(manifest.query("method == 'none'")["case"]) == {"a", "b", "c"}


def test_scans_follow_the_manifest(acquired_case, imputed, params, comparison):
    manifest = list_slices(acquired_case, imputed, SPLITS, params(), comparison)
    manifest.loc[(manifest["method"] == "linear") & (manifest["slice"] == 3), "weight"] = 0.5
    sets = assemble_scans(manifest, acquired_case, imputed, params())
    assert list(sets) == ["none", "linear"]
    linear = sets["linear"]
    assert linear.engine == "dynunet3d"
    parts = (linear.training, linear.validation, linear.test)
    assert [list(part) for part in parts] == [["a"], ["b"], ["c"]]
    scan = linear.training["a"].make()
    assert scan.image.shape == (7, 1, 12, 10)
    np.testing.assert_array_equal(scan.weight[3], 0.5)
    assert linear.grids["c"] is imputed["linear/c"]
    assert sets["none"].training["a"].make().image.shape == (4, 1, 12, 10)


@pytest.mark.parametrize("change", [{"confidence_threshold": 0.5}, {"synthetic_weight": 0.5}])
def test_a_scan_is_another_when_what_it_is_made_of_changes(
    acquired_case, imputed, params, comparison, change
):
    def mark(rule):
        manifest = list_slices(acquired_case, imputed, SPLITS, rule, comparison)
        return (
            assemble_scans(manifest, acquired_case, imputed, rule)["linear"]
            .training["a"]
            .fingerprint
        )

    assert mark(params()) == mark(params())
    assert mark(params()) != mark(params(**change))


def test_networks_of_one_row_see_what_their_own_synthesis_training_imputed(
    acquired_case, imputed, params, comparison
):
    again = {f"linear_repeat1/{name[-1]}": promise for name, promise in imputed.items()}
    names = ["linear", "linear_repeat1"]
    both = {**imputed, **again}
    manifest = list_slices(acquired_case, both, SPLITS, params(), comparison, names, [3, 5])
    sets = assemble_scans(manifest, acquired_case, both, params())
    assert {name: (own.row, own.seeds) for name, own in sets.items()} == {
        "none": ("none", (3, 5)),
        "linear": ("linear", (3,)),
        "linear_repeat1": ("linear", (5,)),
    }
    assert sets["linear_repeat1"].grids["a"] is both["linear_repeat1/a"]


def test_networks_may_learn_from_others_than_they_are_tested_on(
    acquired_case, imputed, params, configuration
):
    base = configuration("tiny")["parameters"]["comparison"]
    rows = ["linear_image", "linear", "cost_free"]
    table = {"title": "", "engine": "unet2d", "methods": rows, "reference": "linear"}
    comparison = ComparisonParams(**{**base, "preset": "own", "presets": {"own": table}})
    manifest = list_slices(acquired_case, imputed, SPLITS, params(), comparison)
    sets = assemble_scans(manifest, acquired_case, imputed, params())
    depths = {
        name: [len(part[case].make().image) for part, case in parts]
        for name, own in sets.items()
        for parts in [[(own.training, "a"), (own.validation, "b"), (own.test, "c")]]
    }
    assert depths == {"linear_image": [4, 4, 7], "linear": [7, 7, 7], "cost_free": [4, 4, 7]}
    assert [own.network for own in sets.values()] == ["none", "linear", "none"]
    assert sets["cost_free"].grids["c"] is imputed["linear/c"]


def test_samples_of_an_imputation_are_learned_from_as_further_cases(
    acquired_case, imputed, params, comparison
):
    """Of the training case alone, and no more than there are: here two."""

    def sampled(promise):
        case = promise.make()
        maps = {f"sample_{n}": case.image.with_stored(case.image.stored + n) for n in (1, 2)}
        maps["sample_label_2"] = case.label.with_stored(case.label.stored * 0)
        record = {**case.record, "samples": 2}
        return replace(case, maps={**case.maps, **maps}, record=record)

    made = {name: sampled(promise) for name, promise in imputed.items()}
    several = {name: Promise(lambda c=c: c, name) for name, c in made.items()}
    rule = params(samples=5, window=None)
    manifest = list_slices(acquired_case, several, SPLITS, rule, comparison)
    sets = assemble_scans(manifest, acquired_case, several, rule)
    linear = sets["linear"]
    assert [*linear.training] == ["a", "a_sample_1", "a_sample_2"]
    assert [*linear.validation, *linear.test, *sets["none"].training] == ["b", "c", "a"]
    assert linear.subject["a_sample_2"] == "1"
    assert len({one.fingerprint for one in linear.training.values()}) == 3
    usual, first, second = (one.make() for one in linear.training.values())
    np.testing.assert_allclose(second.image, usual.image + 2, rtol=1e-5)
    assert np.array_equal(first.label, usual.label)
    assert not second.label[~second.acquired].any()
    assert np.array_equal(second.label[second.acquired], usual.label[usual.acquired])

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from slicefill.advice import remember_run
from slicefill.datasets.cases import CasesDataset
from slicefill.imputation.methods import pretrained
from slicefill.imputation.methods.super_resolution.networks import build_generator
from slicefill.imputation.methods.super_resolution.params import NetworkParams
from slicefill.params import SERIAL, SegmentationParams, as_plain
from slicefill.pipelines.imputation.nodes import impute_cases, verify_imputed
from slicefill.pipelines.imputation.sorting import sort_cases
from slicefill.pipelines.segmentation import own
from slicefill.simulation.subsampling import subsample
from slicefill.types import Promise


@pytest.fixture
def params(imputation_params):
    return lambda **changes: imputation_params(
        **{"methods": ["linear", "nearest"], "through_plane": "auto", "count": 2, **changes}
    )


@pytest.fixture
def fill(splits, tiny_parameters):
    """Promise imputed cases; by name, the models of this experiment."""

    def promise(acquired_case, params, models=None):
        return impute_cases(
            acquired_case, splits, models or {}, params.methods, params, tiny_parameters, {}, {}
        )

    return promise


@pytest.fixture
def scans_in_use():
    """As within `kedro run --env=scans --params axis=A`."""
    remember_run("scans", {"axis": "A", "imputation.count": 3})


@pytest.fixture
def shipped(untrained, monkeypatch):
    """Random weights in the place of the shipped ones."""
    monkeypatch.setattr(pretrained, "load_pretrained", lambda: untrained)


def test_test_cases_are_imputed_by_every_method(acquired_case, params, fill):
    imputed, methods = fill(acquired_case, params())
    assert methods == ["linear", "nearest"]
    assert list(imputed) == ["linear/b", "linear/c", "nearest/b", "nearest/c"]
    made = imputed["nearest/b"].make()
    assert made.record["method"] == "nearest"
    np.testing.assert_array_equal(made.image.stored[..., 1], made.image.stored[..., 0])


def test_all_cases_are_imputed_where_asked_for(acquired_case, params, fill):
    imputed, _ = fill(acquired_case, params(methods=["linear"], cases="all"))
    assert list(imputed) == ["linear/a", "linear/b", "linear/c"]


def test_a_case_that_failed_before_is_left_out(acquired_case, params, fill):
    del acquired_case["b"]
    assert list(fill(acquired_case, params())[0]) == ["linear/c", "nearest/c"]


def test_nothing_is_read_before_a_promise_is_kept(params, fill):
    def unkept():
        pytest.fail("a promise was kept before its case was saved")

    acquired_case = {name: Promise(unkept, name) for name in "abc"}
    assert len(fill(acquired_case, params())[0]) == 4


def test_a_case_that_would_become_too_large_is_refused_before_any_is_imputed(
    acquired_case, splits, params, tiny_parameters, subsampling
):
    """Of 4 slices, 2 in each interval make 10; the record alone says so."""
    rule, keep_all = params(methods=["linear"], most_slices=9), subsampling(factor=1, axis="auto")

    def unread():
        pytest.fail("voxels were read to know how many there are")

    known = {
        name: Promise(unread, name, partial(dict, subsample(promise.make(), keep_all).record))
        for name, promise in acquired_case.items()
    }
    dense, refused = sort_cases(known, splits, rule)
    assert (dense, list(refused)) == ({}, ["b", "c"])
    assert "expected at most 9 slices" in refused["b"]
    assert "found 10 slices" in refused["b"]
    assert "GB" in refused["b"]
    given = (splits, {}, rule.methods, rule, tiny_parameters, dense)
    assert list(impute_cases(acquired_case, *given, {"b": "too large"})[0]) == ["linear/c"]
    assert sort_cases(acquired_case, splits, params(most_slices=10)) == ({}, {})


def test_a_series_that_is_dense_but_for_absent_slices_is_not_sorted_out(
    acquired_case, splits, params, subsampling
):
    keep_all = subsampling(factor=1, axis="auto")
    whole = subsample(acquired_case["b"].make(), keep_all)
    rule = params(methods=["linear"], count=0)
    for absent, expected in (([], ["b"]), ([1], [])):
        told = {**whole.record, "absent_slices": absent}
        known = {"b": Promise(lambda: whole, "b", lambda told=told: told)}
        assert list(sort_cases(known, splits, rule)[0]) == expected


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("iia", "synthesis --params axis=A,variant=iia"),
        ("edsr", "synthesis --params axis=A,variant=edsr"),
        ("adapted", "adaptation --params axis=A"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_what_to_do_in_the_environment_in_use(
    acquired_case, params, fill, name, remedy, scans_in_use
):
    rule = params(methods=["linear", name], weights="own")
    refused = (
        rf"'{name}' is not trained \(found: gan\).*`kedro run --env=scans --pipelines={remedy}`"
    )
    with pytest.raises(ValueError, match=refused):
        fill(acquired_case, rule, {"gan": dict})


@pytest.mark.usefixtures("scans_in_use")
def test_what_shall_impute_for_a_network_and_is_not_trained_is_refused_alike(
    params, tiny_parameters, monkeypatch
):
    monkeypatch.setattr("slicefill.segmentation.opened.open_network", lambda *_: None)
    section = as_plain(tiny_parameters)["segmentation"] | {"output": "isotropic"}
    asked = SegmentationParams.model_validate(section | {"imputed_by": "iia"})
    remedy = "`kedro run --env=scans --pipelines=synthesis --params axis=A,variant=iia`"
    with pytest.raises(ValueError, match=f"'iia' is not trained: train it with {remedy}"):
        own._prepare({}, {}, asked, params(), tiny_parameters)


def test_a_method_without_an_entry_is_refused_with_those_that_have_one(acquired_case, params, fill):
    with pytest.raises(ValueError, match=r"methods: expected one of nearest, .*, got 'lineer'"):
        fill(acquired_case, params(methods=["lineer"]))


@pytest.mark.usefixtures("shipped", "scans_in_use")
def test_shipped_weights_stand_in_for_what_is_not_trained_yet(acquired_case, params, fill, caplog):
    with caplog.at_level("INFO", logger="slicefill.pipelines.imputation"):
        imputed, methods = fill(acquired_case, params(methods=["linear", "iia"]))
    assert methods == ["linear", "pretrained"]
    assert list(imputed) == ["linear/b", "linear/c", "pretrained/b", "pretrained/c"]
    assert "kedro run --env=scans --pipelines=synthesis --params axis=A,variant=iia" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("shipped")
def test_the_model_of_the_experiment_imputes_as_soon_as_there_is_one(
    acquired_case, params, fill, untrained, caplog
):
    rule = params(methods=["iia", "pretrained"])
    imputed, methods = fill(acquired_case, rule, {"iia": lambda: untrained})
    assert methods == ["iia", "pretrained"]
    assert not caplog.records
    records = {name: imputed[f"{name}/b"].make().record for name in methods}
    assert {name: record["method"] for name, record in records.items()} == dict(
        zip(methods, methods, strict=True)
    )
    assert {name: record["weights"] for name, record in records.items()} == {
        "iia": "own",
        "pretrained": "pretrained",
    }


def test_a_case_says_that_no_weights_imputed_it(acquired_case, params, fill):
    record = fill(acquired_case, params())[0]["linear/b"].make().record
    assert (record["weights"], record["model_sha256"], record["model_version"]) == (None,) * 3


@pytest.mark.usefixtures("shipped")
def test_what_shipped_weights_imputed_is_verified_under_their_name(acquired_case, params, fill):
    imputed, methods = fill(acquired_case, params(methods=["iia"]))
    table = verify_imputed(imputed, acquired_case, methods, SERIAL)
    assert list(table["method"]) == ["pretrained", "pretrained"]
    assert table["passed"].all()


def test_only_the_models_asked_for_are_read(acquired_case, params, fill):
    def unread():
        pytest.fail("the model was read")

    assert fill(acquired_case, params(), {"iia": unread})


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"batch_pixels": 1}, False),
        ({"cases": "all"}, False),
        ({"methods": ["linear"]}, False),
        ({"weights": "own"}, False),
        ({"count": 3}, True),
        ({"restore_acquired": True}, True),
        ({"through_plane": "S"}, True),
        ({"count": None, "target_spacing": 1.0}, True),
        ({"label_field": "one_hot"}, True),
        ({"window": {"kind": "fixed", "low": 0, "high": 9}}, True),
        ({"hardware": {"accelerator": "cpu", "devices": 1, "precision": "bf16-mixed"}}, True),
    ],
)
def test_a_case_is_made_again_when_something_that_it_depends_on_changes(
    acquired_case, params, fill, changes, again
):
    def mark(**changes):
        rule = params(**{"label_field": "signed_distance", **changes})
        return fill(acquired_case, rule)[0]["linear/b"].fingerprint

    assert (mark() != mark(**changes)) is again


def test_a_case_is_made_again_when_its_source_changes(acquired_case, params, fill):
    before, _ = fill(acquired_case, params())
    acquired_case["b"] = replace(acquired_case["b"], fingerprint="another")
    after, _ = fill(acquired_case, params())
    changed = {name for name in before if before[name].fingerprint != after[name].fingerprint}
    assert changed == {"linear/b", "nearest/b"}


def test_what_was_imputed_passes_verification(acquired_case, params, fill):
    imputed, methods = fill(acquired_case, params())
    table = verify_imputed(imputed, acquired_case, methods, SERIAL)
    assert list(table.columns) == ["method", "case", "passed", "differences"]
    assert list(table["case"]) == ["b", "c", "b", "c"]
    assert table["passed"].all()


def test_a_super_resolution_model_imputes_and_is_not_verified_for_what_it_says_it_replaced(
    acquired_case, params, fill
):
    shape = NetworkParams(kind="rcan", width=4, blocks=1, groups=1, residual_scale=1)
    checkpoint = {
        "kind": "super_resolution",
        "weights": build_generator(shape, 1, 3).state_dict(),
        "network": shape.model_dump(),
        "window": {"kind": "percentile", "low": 0, "high": 100},
        "channels": 1,
        "factor": 3,
    }
    rule = params(methods=["linear", "rcan"])
    imputed, methods = fill(acquired_case, rule, {"rcan": lambda: checkpoint})
    made = imputed["rcan/b"].make()
    assert (made.record["method"], made.record["acquired_slices"]) == ("rcan", "replaced")
    assert set(verify_imputed(imputed, acquired_case, methods, SERIAL)["method"]) == {"linear"}


def test_one_changed_voxel_fails_verification(acquired_case, params, fill):
    imputed, methods = fill(acquired_case, params())
    damaged = imputed["linear/c"].make()
    damaged.image.stored[0, 0, 3] += 1  # acquired slice 1
    imputed["linear/c"] = Promise(lambda: damaged, "")
    with pytest.raises(ValueError, match=r"verification failed:[\s\S]*linear *c.*acquired slice 1"):
        verify_imputed(imputed, acquired_case, methods, SERIAL)


def test_cases_that_became_dense_are_neither_loaded_nor_verified(
    acquired_case, splits, params, tiny_parameters, tmp_path
):
    """The first run imputed them; then the scans were replaced by dense ones."""
    rule, data = params(), CasesDataset(path=str(tmp_path), made_by="imputation")
    given = splits, {}, rule.methods, rule, tiny_parameters
    data.save(impute_cases(acquired_case, *given, {}, {})[0])
    known = data.load()
    imputed, methods = impute_cases(acquired_case, *given, dict.fromkeys("bc", "dense"), {})
    data.save(imputed)
    assert data.load() == {}
    assert verify_imputed(data.load(), acquired_case, methods, SERIAL).empty
    del acquired_case["b"]
    assert set(verify_imputed(known, acquired_case, methods, SERIAL)["case"]) == {"c"}


def test_what_another_run_imputed_is_left_alone(acquired_case, params, fill):
    imputed, _ = fill(acquired_case, params())
    damaged = imputed["nearest/c"].make()
    damaged.image.stored[0, 0, 3] += 1
    imputed["nearest/c"] = Promise(lambda: damaged, "")
    table = verify_imputed(imputed, acquired_case, ["linear"], SERIAL)
    assert set(table["method"]) == {"linear"}

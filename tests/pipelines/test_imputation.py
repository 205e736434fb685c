from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from slicefill.params import SERIAL, SuperResolutionNetwork
from slicefill.pipelines.imputation.nodes import fill_cases, verify_filled
from slicefill.super_resolution.networks import build_generator
from slicefill.types import Promise

SPLITS = pd.DataFrame(
    {"case": ["a", "b", "c"], "split": ["train", "test", "test"], "person": ["1", "2", "3"]}
)


@pytest.fixture
def thick(case):
    return {name: Promise(lambda s=s: case(seed=s), f"mark {s}") for s, name in enumerate("abc")}


@pytest.fixture
def params(imputation_params):
    return lambda **changes: imputation_params(
        **{"methods": ["linear", "nearest"], "through_plane": "auto", "count": 2, **changes}
    )


def test_test_cases_are_filled_by_every_method(thick, params):
    filled = fill_cases(thick, SPLITS, {}, {}, params())
    assert list(filled) == ["linear/b", "linear/c", "nearest/b", "nearest/c"]
    made = filled["nearest/b"].make()
    assert made.record["method"] == "nearest"
    np.testing.assert_array_equal(made.image.stored[..., 1], made.image.stored[..., 0])


def test_all_cases_are_filled_where_asked_for(thick, params):
    filled = fill_cases(thick, SPLITS, {}, {}, params(methods=["linear"], cases="all"))
    assert list(filled) == ["linear/a", "linear/b", "linear/c"]


def test_a_case_that_failed_before_is_left_out(thick, params):
    del thick["b"]
    assert list(fill_cases(thick, SPLITS, {}, {}, params())) == ["linear/c", "nearest/c"]


def test_nothing_is_read_before_a_promise_is_kept(params):
    def unkept():
        pytest.fail("a promise was kept before its case was saved")

    thick = {name: Promise(unkept, name) for name in "abc"}
    assert len(fill_cases(thick, SPLITS, {}, {}, params())) == 4


def test_a_model_that_is_not_there_is_refused_with_what_to_do(thick, params):
    with pytest.raises(ValueError, match=r"no trained model 'iia' \(found: gan\).*variant=iia"):
        fill_cases(thick, SPLITS, {"gan": dict}, {}, params(methods=["linear", "iia"]))


def test_only_the_models_asked_for_are_read(thick, params):
    def unread():
        pytest.fail("the model was read")

    assert fill_cases(thick, SPLITS, {"iia": unread}, {}, params())


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"batch_pixels": 1}, False),
        ({"cases": "all"}, False),
        ({"methods": ["linear"]}, False),
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
    thick, params, changes, again
):
    def mark(**changes):
        rule = params(**{"label_field": "signed_distance", **changes})
        return fill_cases(thick, SPLITS, {}, {}, rule)["linear/b"].fingerprint

    assert (mark() != mark(**changes)) is again


def test_a_case_is_made_again_when_its_source_changes(thick, params):
    before = fill_cases(thick, SPLITS, {}, {}, params())
    thick["b"] = replace(thick["b"], fingerprint="another")
    after = fill_cases(thick, SPLITS, {}, {}, params())
    changed = {name for name in before if before[name].fingerprint != after[name].fingerprint}
    assert changed == {"linear/b", "nearest/b"}


def test_what_was_filled_passes_verification(thick, params):
    table = verify_filled(fill_cases(thick, SPLITS, {}, {}, params()), thick, params(), SERIAL)
    assert list(table.columns) == ["method", "case", "passed", "differences"]
    assert list(table["case"]) == ["b", "c", "b", "c"]
    assert table["passed"].all()


def test_a_super_resolution_model_fills_and_is_not_verified_for_what_it_says_it_replaced(
    thick, params
):
    shape = SuperResolutionNetwork(kind="rcan", width=4, blocks=1, groups=1, residual_scale=1)
    checkpoint = {
        "kind": "super_resolution",
        "weights": build_generator(shape, 1, 3).state_dict(),
        "network": shape.model_dump(),
        "params": {"window": {"kind": "percentile", "low": 0, "high": 100}},
        "channels": 1,
        "factor": 3,
    }
    rule = params(methods=["linear", "rcan"])
    filled = fill_cases(thick, SPLITS, {}, {"rcan": lambda: checkpoint}, rule)
    made = filled["rcan/b"].make()
    assert (made.record["method"], made.record["acquired_slices"]) == ("rcan", "replaced")
    assert set(verify_filled(filled, thick, rule, SERIAL)["method"]) == {"linear"}


def test_one_changed_voxel_fails_verification(thick, params):
    filled = fill_cases(thick, SPLITS, {}, {}, params())
    damaged = filled["linear/c"].make()
    damaged.image.stored[0, 0, 3] += 1  # acquired slice 1
    filled["linear/c"] = Promise(lambda: damaged, "")
    with pytest.raises(ValueError, match=r"verification failed:[\s\S]*linear *c.*acquired slice 1"):
        verify_filled(filled, thick, params(), SERIAL)


def test_what_another_run_filled_is_left_alone(thick, params):
    filled = fill_cases(thick, SPLITS, {}, {}, params())
    damaged = filled["nearest/c"].make()
    damaged.image.stored[0, 0, 3] += 1
    filled["nearest/c"] = Promise(lambda: damaged, "")
    table = verify_filled(filled, thick, params(methods=["linear"]), SERIAL)
    assert set(table["method"]) == {"linear"}

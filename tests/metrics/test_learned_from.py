"""Metrics that look for copied slices know those of training, imputed or not."""

import numpy as np
import pandas as pd
import pytest

from slicefill.pipelines.evaluation.nodes import evaluate_cases
from slicefill.types import Lazy

SPLITS = pd.DataFrame({"case": [*"abc"], "subject": [*"abc"], "split": ["train", "val", "test"]})
RECORD = {"axis": 2, "count": 1, "slices": [], "source": {"affine": np.diag([1, 1, 4, 1]).tolist()}}


@pytest.fixture
def cases(case):
    return {name: Lazy(lambda: case(shape=(8, 8, 4)), name) for name in "abc"}


def described(imputed, cases, params):
    """Of which cases the real slices are kept as those of training."""
    given = {f"linear/{name}": Lazy(lambda: None, name, lambda: RECORD) for name in imputed}
    return {
        name: sorted(promise.make().methods)
        for name, promise in evaluate_cases(given, cases, SPLITS, params).items()
    }


@pytest.fixture
def evaluation(params):
    return params.model_copy(
        update={
            "figure_cases": 0,
            "label_baseline": "",
            "metrics": ["correlation"],
            "figure_methods": [],
        }
    )


def test_training_cases_are_known_whether_or_not_they_were_imputed(cases, evaluation):
    """With `imputation.cases: all` they are."""
    assert described("c", cases, evaluation) == {"a": ["real"], "b": ["real"], "c": ["linear"]}
    assert described("abc", cases, evaluation) == {
        "a": ["linear", "real"],
        "b": ["linear", "real"],
        "c": ["linear"],
    }


def test_a_training_case_without_a_truth_is_left_out(cases, evaluation):
    assert described("ac", {"c": cases["c"]}, evaluation) == {"a": ["linear"], "c": ["linear"]}

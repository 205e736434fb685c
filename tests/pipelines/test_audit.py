"""The audit of synthetic labels: methods and damages in one table, figure, report."""

import pandas as pd
import pytest

from slicefill.datasets.figures import to_png
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import LabelAuditParams
from slicefill.pipelines.audit.nodes import audit_synthetic_labels, draw_audit, write_audit
from slicefill.simulation.subsampling import subsample
from slicefill.simulation.virtual_subjects import virtual_subject
from slicefill.types import Promise

SPLITS = pd.DataFrame({"case": ["a", "b"], "subject": ["p", "q"], "split": "test"})


@pytest.fixture(scope="module")
def params(configuration):
    own = dict(configuration("tiny")["parameters"]["label_audit"])
    return LabelAuditParams(**{**own, "damages": {"shift": [1, 4], "permute": [1.0]}})


@pytest.fixture(scope="module")
def cases():
    made = {name: virtual_subject(seed, (32, 36, 33)) for seed, name in enumerate("ab")}
    return {name: Promise(lambda c=c: c, "") for name, c in made.items()}


@pytest.fixture(scope="module")
def imputed(cases, subsampling, imputation_params):
    params = imputation_params(count=3, through_plane="S")
    rule = subsampling(axis="S", factor=4)
    made = {
        f"{name}/{case}": impute_case(
            subsample(truth.make(), rule), classical_imputer(name, params), params
        )
        for name in ("nearest", "shape_based")
        for case, truth in cases.items()
    }
    return {name: Promise(lambda c=c: c, "") for name, c in made.items()}


@pytest.fixture(scope="module")
def audited(imputed, cases, params):
    return audit_synthetic_labels(imputed, cases, SPLITS, params)


def test_methods_and_damages_stand_in_one_table(audited):
    table, summary, failed = audited
    assert failed.empty
    assert set(table["name"]) == {"nearest", "shape_based", "shift", "permute"}
    mean = summary[summary["label"] == "mean"].set_index(["name", "strength"])
    assert mean["n"].eq(2).all()
    assert mean.loc[("shift", 1.0), "dice"] > mean.loc[("shift", 4.0), "dice"]
    assert mean.loc[("permute", 1.0), "dice"] < 1
    assert mean.loc["shape_based", "volume_bias"].iloc[0] < 0


def test_the_report_holds_table_and_figure(audited, params):
    _, summary, _ = audited
    figures = {name: to_png(figure) for name, figure in draw_audit(summary).items()}
    page = write_audit(summary, figures, {"experiment": "tiny", "label_audit": params})
    assert "Best Dice: " in page
    assert "volume bias" in page
    assert page.count("<img") == 1


def test_a_case_that_fails_stops_nothing(imputed, cases, params, caplog):
    def fail():
        raise OSError("no such disk")

    broken = {**imputed, "nearest/a": Promise(fail, "")}
    table, _, failed = audit_synthetic_labels(broken, cases, SPLITS, params)
    assert set(table["case"]) == {"b"}
    assert failed.to_dict("records") == [{"case": "a", "reason": "OSError: no such disk"}]
    assert "a is not audited" in caplog.text


def test_without_labels_or_removed_slices_there_is_nothing_to_audit(cases, params):
    table, summary, _ = audit_synthetic_labels({}, cases, SPLITS, params)
    assert table.empty
    assert draw_audit(summary) == {}
    assert "nothing to audit" in write_audit(
        summary, {}, {"experiment": "tiny", "label_audit": params}
    )

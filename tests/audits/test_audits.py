"""Audits: what they find, known by hand, and that one is a file and an entry."""

import sys
from textwrap import dedent

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from slicefill import audits
from slicefill.audits import run_audits
from slicefill.types import Case, Lazy, Prediction, Volume


def volume(stored):
    stored = np.asarray(stored, np.uint8)
    return Volume(stored, nib.Nifti1Image(stored, np.eye(4)).header)


@pytest.fixture
def given():
    """Label 1 has 4 true and 3 predicted voxels, label 2 none and one, on acquired slices."""
    truth = np.zeros((2, 2, 2))
    truth[..., 0] = 1
    found = np.zeros((2, 2, 3))  # slice 1 is synthetic and all of label 1
    found[..., 1] = 1
    found[..., 0] = [[1, 1], [1, 0]]
    found[0, 0, 2] = 2
    names = {"0": "background", "1": "one", "2": "two"}
    record = {"axis": 2, "acquired": [0, 2], "finer": [1, 1, 1], "label_names": names}
    cases = {"a": Lazy(lambda: Case(volume(truth), volume(truth)), "a")}
    predictions = {
        "linear/unet2d_0": {"a": Lazy(lambda: Prediction(volume(found), record=record), "p")}
    }
    return cases, predictions


def test_volume_bias_counts_acquired_slices_alone(given):
    table = run_audits({"bias": {"kind": "volume_bias", "tolerance": 0.2}}, *given)
    assert table["audit"].tolist() == ["bias", "bias"]
    assert table["label"].tolist() == [1, 2]
    assert table["volume_bias"].tolist() == [-0.25, pytest.approx(np.nan, nan_ok=True)]
    assert table["marked"].tolist() == [True, True]  # label 2 is an invention
    wide = run_audits({"bias": {"kind": "volume_bias", "tolerance": 0.25}}, *given)
    assert wide["marked"].tolist() == [False, True]


def test_volume_bias_of_a_prediction_that_is_finer_in_the_plane_is_the_same(given):
    cases, predictions = given
    coarse = predictions["linear/unet2d_0"]["a"].make()
    stored = coarse.label.stored.repeat(2, 0)[:-1].repeat(3, 1)[:, :-2]  # to the last voxel centre
    record = {**coarse.record, "finer": [1, 2, 3]}
    finer = {"n": {"a": Lazy(lambda: Prediction(volume(stored), record=record), "p")}}
    table = run_audits({"bias": {"kind": "volume_bias", "tolerance": 0.2}}, cases, finer)
    assert table["volume_bias"].tolist()[0] == -0.25


@pytest.mark.parametrize("kind", ["volume_bias", "lesions"])
def test_a_prediction_that_lacks_acquired_slices_is_named(given, kind, caplog):
    cases, predictions = given
    whole = predictions["linear/unet2d_0"]["a"].make()
    exact = Prediction(whole.label, record={**whole.record, "acquired": [0]})
    entry = {"kind": kind} | ({"tolerance": 0.2} if kind == "volume_bias" else {})
    assert run_audits({"it": entry}, cases, {"n": {"a": Lazy(lambda: exact, "p")}}).empty
    assert "n, a: is not audited" in caplog.text


def test_predictions_of_imputed_and_of_true_slices_are_compared_where_both_lie(given, caplog):
    cases, predictions = given
    found = predictions["linear/unet2d_0"]["a"].make()
    real = np.concatenate([found.label.stored, found.label.stored[..., :1]], axis=2)  # ends later
    real[..., 1] = [[1, 1], [0, 0]]
    oracle = Prediction(volume(real), record=found.record)
    coarse = Prediction(found.label.with_stored(found.label.stored, np.diag([1, 1, 2, 1])),
                        record=found.record)  # fmt: skip
    networks = {"linear/unet2d_0": found, "n1/unet2d_0": coarse, "true_slices/unet2d_0": oracle}
    lazy = {name: {"a": Lazy(lambda one=one: one, name)} for name, one in networks.items()}
    table = run_audits({"same": {"kind": "paired_consistency"}}, cases, lazy)
    assert set(table["network"]) == {"linear/unet2d_0"}
    # of label 1: 3 and 4 voxels in slices 0 and 1, 3 and 2 of the oracle, 5 in common; label 2: one
    assert table["agreement"].tolist() == [pytest.approx(10 / 12), 1]
    assert "n1/unet2d_0, a: is not compared" in caplog.text


def test_without_an_entry_there_is_an_empty_table(given):
    assert run_audits({}, *given).empty


def test_an_audit_is_a_file_and_an_entry(given, tmp_path, monkeypatch):
    (tmp_path / "counting.py").write_text(
        dedent(
            """
            import pandas as pd
            from slicefill.params.base import Params as BaseParams

            class Params(BaseParams):
                unit: str

            def audit(cases, predictions, params):
                return pd.DataFrame({"cases": [len(cases)], "unit": [params.unit]})
            """
        )
    )
    monkeypatch.setattr(audits, "__path__", [*audits.__path__, str(tmp_path)])
    table = run_audits({"count": {"kind": "counting", "unit": "case"}}, *given)
    assert table.to_dict("records") == [{"audit": "count", "cases": 1, "unit": "case"}]
    sys.modules.pop("slicefill.audits.counting")
    with pytest.raises(ValueError, match=r"audits\.x\.kind: expected one of counting, lesions"):
        run_audits({"x": {"kind": "other"}}, *given)


def test_paired_consistency_compares_with_the_oracle_of_the_same_engine_and_seed(given, caplog):
    """Three of four voxels agree in label 1: 2 · 3 / (3 + 4) on the slice of both."""
    cases, predictions = given
    real = np.zeros((2, 2, 1))
    real[..., 0] = 1
    record = {"label_names": {"0": "background", "1": "one", "2": "two"}}
    oracle = {"a": Lazy(lambda: Prediction(volume(real), record=record), "o")}
    entry = {"paired": {"kind": "paired_consistency"}}
    table = run_audits(entry, cases, {**predictions, "true_slices/unet2d_0": oracle})
    assert table["network"].tolist() == ["linear/unet2d_0"] * 2
    assert table["agreement"].tolist() == [6 / 7, pytest.approx(np.nan, nan_ok=True)]
    assert not caplog.text
    named = {"paired": {"kind": "paired_consistency", "reference": "true_image"}}
    again = run_audits(named, cases, {**predictions, "true_image/unet2d_0": oracle})
    pd.testing.assert_frame_equal(again, table)
    for other in ("true_slices/unet2d_1", "true_image/unet2d_0"):
        caplog.clear()
        assert run_audits(entry, cases, {**predictions, other: oracle}).empty
        assert f"got linear/unet2d_0, {other}: set `reference`" in caplog.text


def test_lesions_are_traced_over_thresholds_of_the_probability():
    """At 0.25 both spots of the slice are found and one is false; from 0.5 on the first alone."""
    truth = np.zeros((1, 9, 2))
    truth[0, [1, 4], 0] = 1
    chance = np.zeros((1, 9, 3, 2))  # slice 1 is synthetic
    chance[0, [1, 4, 7], 0, 1] = [0.8, 0.3, 0.4]
    chance[..., 1, 1] = 1
    record = {"axis": 2, "acquired": [0, 2], "finer": [1, 1, 1]}
    record["label_names"] = {"0": "background", "1": "spot"}
    softmax = Volume(chance, nib.Nifti1Image(chance, np.eye(4)).header)
    cases = {"a": Lazy(lambda: Case(volume(truth), volume(truth)), "a")}
    found = Prediction(volume(chance[..., 1] > 0.5), softmax, record)
    entry = {"kind": "lesions", "thresholds": 3, "rates": [0.5, 1]}
    table = run_audits({"spots": entry}, cases, {"none/u_0": {"a": Lazy(lambda: found, "p")}})
    assert table["threshold"].tolist() == [0.75, 0.5, 0.25]
    assert table["lesion_sensitivity"].tolist() == [0.5, 0.5, 1]
    assert table["lesion_false_positives"].tolist() == [0, 0, 1]
    assert table["froc_score"].tolist() == [0.75] * 3
    plain = Prediction(found.label, None, record)
    table = run_audits({"spots": entry}, cases, {"none/u_0": {"a": Lazy(lambda: plain, "p")}})
    assert table[["threshold", "lesion_sensitivity"]].to_numpy().tolist() == [[0.5, 0.5]]

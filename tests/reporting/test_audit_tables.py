"""Means of the audit of labels: over whom they are."""

import numpy as np
import pandas as pd

from slicefill.metrics.label_bias import BIASES
from slicefill.reporting.audit_tables import summarise_audit


def row(subject, label, value, **changes):
    shared = {"case": subject, "subject": subject, "source": "method", "name": "linear"}
    return {**shared, "strength": np.nan, "label": label, **dict.fromkeys(BIASES, value), **changes}


def test_subjects_without_a_value_are_not_counted():
    """Of four subjects one has the core, another the rim; its balance is nan, for all is right."""
    core = [
        row(who, "core", value) for who, value in zip("abcd", [0.9] + [np.nan] * 3, strict=True)
    ]
    rim = [row("b", "rim", 0.7, error_balance=np.nan), row("a", "rim", np.nan)]
    none = [row(who, "none", np.nan) for who in "ab"]
    summary = summarise_audit(pd.DataFrame(core + rim + none)).set_index("label")
    assert summary["n"].to_dict() == {"core": 1, "rim": 1, "none": 0, "mean": 2}
    assert summary["dice"].round(6).dropna().to_dict() == {"core": 0.9, "rim": 0.7, "mean": 0.8}

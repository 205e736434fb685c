import numpy as np
import pandas as pd
import pytest

from slicefill.metrics.risk import risk_curves
from slicefill.reporting.figures import risk_coverage


@pytest.fixture
def curves():
    """Two methods and subjects; one confidence is the oracle's, the other the same for all."""
    rng = np.random.default_rng(0)
    rows = []
    for case, subject in (("a1", "a"), ("a2", "a"), ("b", "b")):
        error = rng.exponential(0.1, 400)
        for method, confidence in (("model", -error), ("linear", np.ones(400))):
            whose = {"method": method, "case": case, "subject": subject}
            rows.append(risk_curves(confidence, error).assign(**whose))
    return pd.concat(rows)


def test_a_panel_per_method_says_how_far_confidence_goes(curves):
    panels = risk_coverage(curves).axes
    assert [axis.get_title() for axis in panels] == [
        "model\n100% of the oracle's gain",
        "linear\n0% of the oracle's gain",
    ]
    assert all(len(axis.lines) == 3 for axis in panels)


def test_subjects_count_the_same_however_many_cases_they_have(curves):
    (line,) = [one for one in risk_coverage(curves).axes[0].lines if "confident" in one.get_label()]
    model = curves.query("method == 'model' and coverage == 1")
    by_subject = model.groupby("subject")["risk"].mean()
    assert line.get_ydata()[-1] == pytest.approx(by_subject.mean())


def test_a_table_without_the_columns_is_refused(curves):
    with pytest.raises(ValueError, match="expected rows with columns"):
        risk_coverage(curves.drop(columns="oracle"))
    with pytest.raises(ValueError, match="got 0 rows"):
        risk_coverage(curves[:0])

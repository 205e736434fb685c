import numpy as np
import pandas as pd
import pytest

from slicefill.metrics.risk import risk_curves
from slicefill.reporting.figures import risk_coverage


@pytest.fixture
def curves():
    """Two methods and persons; trust of the one is the oracle's, of the other the same for all."""
    rng = np.random.default_rng(0)
    rows = []
    for case, person in (("a1", "a"), ("a2", "a"), ("b", "b")):
        error = rng.exponential(0.1, 400)
        for method, trust in (("model", -error), ("linear", np.ones(400))):
            whose = {"method": method, "case": case, "person": person}
            rows.append(risk_curves(trust, error).assign(**whose))
    return pd.concat(rows)


def test_a_panel_per_method_says_how_far_trust_goes(curves):
    panels = risk_coverage(curves).axes
    assert [axis.get_title() for axis in panels] == [
        "model\n100% of the oracle's gain",
        "linear\n0% of the oracle's gain",
    ]
    assert all(len(axis.lines) == 3 for axis in panels)


def test_persons_count_the_same_however_many_cases_they_have(curves):
    (line,) = [one for one in risk_coverage(curves).axes[0].lines if "trusted" in one.get_label()]
    model = curves.query("method == 'model' and coverage == 1")
    by_person = model.groupby("person")["risk"].mean()
    assert line.get_ydata()[-1] == pytest.approx(by_person.mean())


def test_a_table_without_the_columns_is_refused(curves):
    with pytest.raises(ValueError, match="expected rows with columns"):
        risk_coverage(curves.drop(columns="oracle"))
    with pytest.raises(ValueError, match="got 0 rows"):
        risk_coverage(curves[:0])

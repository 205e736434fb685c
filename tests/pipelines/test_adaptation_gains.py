"""The report says what adaptation was worth, and whether the shipped weights were kept."""

import numpy as np
import pandas as pd
import pytest

from slicefill.reporting.evaluation_report import compose_report
from slicefill.reporting.evaluation_tables import tabulate_adaptation
from slicefill.types import Case, Promise

KINDS = {
    "in_plane": {"gain_db": 0.4, "standard_error": 0.1, "groups": 30, "better": 0.9, "p": 1e-4},
    "through_plane": {"gain_db": 0.2, "standard_error": None, "groups": 1, "better": 1.0, "p": 0.5},
}


@pytest.fixture
def imputed(volume):
    def make(used):
        record = {"adaptation": {"used": used, "gain_db": 0.3, "steps": 500, "kinds": KINDS}}
        adapted = Case(volume(np.zeros((2, 2, 2), np.uint8)), record=record)
        return {
            "linear/a": Promise(lambda: pytest.fail("was read"), ""),
            "adapted/a": Promise(lambda: adapted, ""),
        }

    return make


@pytest.mark.parametrize("used", ["adapted", "shipped"])
def test_gains_are_told_and_shipped_weights_that_were_kept_are_a_warning(
    imputed, used, configuration
):
    gains = tabulate_adaptation(imputed(used))
    assert list(gains["slices"]) == ["in_plane", "through_plane"]
    assert list(gains["gain_db"]) == [0.4, 0.2]
    assert set(gains["used"]) == {used}
    assert set(gains["steps"]) == {500}
    nothing = pd.DataFrame()
    tables = {"summary": nothing, "comparisons": nothing, "slice_confidence": nothing}
    tables |= {"refused": nothing, "adaptation": gains}
    made = compose_report(tables, {}, dict(configuration()["parameters"]))
    assert "Adaptation against the shipped weights." in [table.caption for table in made.tables]
    kept = any("shipped weights were kept" in warning for warning in made.warnings)
    assert kept is (used == "shipped")


def test_without_adaptation_nothing_is_told(configuration):
    gains = tabulate_adaptation({})
    assert gains.empty
    assert "used" in gains  # a CSV file without columns could not be read
    nothing = pd.DataFrame()
    tables = {"summary": nothing, "comparisons": nothing, "slice_confidence": nothing}
    made = compose_report(
        tables | {"refused": nothing, "adaptation": gains}, {}, dict(configuration()["parameters"])
    )
    assert not [table for table in made.tables if "Adaptation" in table.caption]

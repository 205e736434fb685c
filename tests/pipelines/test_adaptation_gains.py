"""The report says what adaptation was worth, and whether the shipped weights were kept."""

import pandas as pd
import pytest

from slicefill.reporting.evaluation_figures import draw_training
from slicefill.reporting.evaluation_report import compose_report
from slicefill.reporting.evaluation_tables import tabulate_adaptation

SSIM = {"ssim_gain": 0.001, "ssim_fall_p": 1.0}
KINDS = {
    "in_plane": {"gain_db": 0.4, "standard_error": 0.1, "groups": 30, "better": 0.9, "p": 1e-4},
    "through_plane": {"gain_db": 0.2, "standard_error": None, "groups": 1, "better": 1.0, "p": 0.5},
}
LABELS = {"slices": 12, "dice_gain": -0.002, "dice_fall_p": 0.3}
NOTHING = pd.DataFrame()


def models(used):
    kinds = {name: kind | SSIM for name, kind in KINDS.items()}
    found = {"used": used, "gain_db": 0.3, "steps": 500, "kinds": kinds, "labels": LABELS}
    found["reason"] = "six slices"
    return {"linear": lambda: pytest.fail("was read"), "adapted": lambda: {"adaptation": found}}


def composed(gains, configuration):
    tables = dict.fromkeys(("summary", "comparisons", "slice_confidence", "refused"), NOTHING)
    return compose_report(tables | {"adaptation": gains}, {}, dict(configuration()["parameters"]))


@pytest.mark.parametrize("used", ["adapted", "pretrained"])
def test_gains_are_told_and_shipped_weights_that_were_kept_are_a_warning_with_its_reason(
    used, configuration
):
    gains = tabulate_adaptation(models(used))
    assert list(gains["slices"]) == ["in_plane", "through_plane", "labels"]
    assert list(gains["gain_db"])[:2] == [0.4, 0.2]
    assert list(gains["ssim_gain"])[:2] == [0.001, 0.001]
    assert list(gains["groups"]) == [30, 1, 12]
    assert list(gains["dice_gain"])[2] == -0.002
    assert set(gains["used"]) == {used}
    assert set(gains["steps"]) == {500}
    made = composed(gains, configuration)
    assert "Adaptation against the shipped weights." in [each.caption for each in made.folded]
    told = [warning for warning in made.warnings if "shipped weights" in warning]
    kept = ["Adaptation kept the shipped weights: six slices."]
    assert told == (kept if used == "pretrained" else [])


def test_without_adaptation_nothing_is_told(configuration):
    gains = tabulate_adaptation({})
    assert gains.empty
    assert "used" in gains  # a CSV file without columns could not be read
    made = composed(gains, configuration)
    assert not [each for each in made.folded if "Adaptation" in each.caption]


def test_a_model_that_was_not_trained_has_no_curves():
    assert draw_training({"adapted": {"history": []}}, {}) == {}

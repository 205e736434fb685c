import pandas as pd
import pytest

from slicefill.reporting.run_summary import (
    lay_out,
    main_method,
    main_scores,
    tell_scores,
    tell_volumes,
)

SUMMARY = pd.DataFrame(
    [
        ["linear", "psnr_body", 20.0],
        ["iia", "psnr_body", 21.234],
        ["iia", "psnr_field", 99.0],
        ["iia", "dice_mean", 0.9],
        ["iia", "volume_bias_mean", -0.0123],
        ["iia", "ssim_body", float("nan")],
    ],
    columns=["method", "metric", "mean"],
)


def test_main_scores_are_those_of_one_method_under_names_that_hold_for_any():
    assert main_scores(SUMMARY, "iia") == {"psnr": 21.234, "dice": 0.9, "volume_bias": -0.0123}
    assert main_scores(SUMMARY, "linear") == {"psnr": 20.0}
    assert main_scores(SUMMARY, "cubic") == {}
    assert main_scores(SUMMARY[:0], "iia") == {}


def test_scores_are_told_with_their_units():
    assert tell_scores(SUMMARY, "iia") == "iia: PSNR 21.23 dB, Dice 0.900, volume bias -1.2%"
    assert tell_scores(SUMMARY, "cubic") == ""


@pytest.mark.parametrize(
    ("methods", "expected"),
    [(["linear", "iia", "cubic"], "iia"), (["cubic", "pretrained"], "pretrained"), ([], "iia")],
)
def test_a_run_is_about_its_variant_or_what_stands_in_for_it(methods, expected):
    assert main_method(methods, "iia") == expected


@pytest.mark.parametrize(("new", "age"), [(0, "there already"), (1, "1 of them new"), (3, "new")])
def test_volumes_are_counted_with_their_age(new, age):
    names = ["linear/a", "linear/b", "cubic/a"]
    assert tell_volumes(names, new) == f"3 volumes, {age}: 2 cases by linear, cubic"


def test_the_summary_fits_fifteen_lines_and_shows_no_empty_entry():
    entries = {"Imputed": ["one", "two"], "Models": [], "Scores": ["x"] * 40, "Report": ["there"]}
    text = lay_out("study", entries)
    lines = text.strip().splitlines()
    assert len(lines) == 15
    assert lines[0].startswith("── study ─")
    assert lines[1:5] == ["Imputed  one", "         two", "Scores   x", "         x"]
    assert lines[-2:] == ["         and 30 more", "Report   there"]  # never without the report
    assert "Models" not in text

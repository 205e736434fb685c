"""The table of a comparison: cells, ranks, notes by hand; Markdown, LaTeX; the paper's own."""

import csv
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slicefill.metrics.statistics import summarise_scores
from slicefill.params import ComparisonParams, ScoringParams
from slicefill.reporting.comparison_tables import (
    all_regions,
    preset_numbers,
    preset_table,
    to_latex,
    to_markdown,
)
from slicefill.reporting.report import ReportContent, ReportTable, render_report

PAPER = Path(__file__).parents[2] / "docs" / "paper"
METRICS = ("dice", "ravd_abs", "ravd", "assd", "mssd", "hd95", "nsd")
LIVER, BOTH = {0: "background", 1: "liver"}, {1: "liver", 2: "tumour"}


def comparison(*methods):
    method = {"imputed_by": "none", "count": None, "engine": None, "restore_acquired": False}
    method |= {"label_field": None, "transforms": True}
    named = {name: {**method, "title": name.replace("si", "S_I & co")} for name in methods}
    preset = {"title": "Table I, 50%", "engine": "unet2d", "reference": methods[0]}
    presets = {"table1": {**preset, "methods": list(methods)}}
    return ComparisonParams(preset="table1", presets=presets, methods=named)


def scoring(**changes):
    return ScoringParams.model_construct(
        bootstrap_samples=200,
        confidence_level=0.95,
        seed=0,
        **{"label_names": LIVER, "tolerance": 1.0, "both_empty": "drop", "one_empty": "drop"}
        | {"failure_dice": 0.5}
        | changes,
    )


def measured(label_names=LIVER, **values):
    """Hand-made scores of one case per subject; every metric of a method is its list of values."""
    regions = [*(name for identity, name in label_names.items() if identity), "mean"]
    counts = {"both_empty": 0.0, "prediction_empty": 1.0, "truth_empty": 0.0}
    return pd.DataFrame(
        [
            {"case": f"c{i}", "subject": f"p{i}", "method": method}
            | {f"{metric}_{region}": value for metric in METRICS for region in regions}
            | counts
            for method, own in values.items()
            for i, value in enumerate(own)
        ]
    )


def table(scores, *methods, regions=("mean",), **changes):
    params = scoring(**changes)
    summary = summarise_scores(scores, params)
    return preset_table(scores, summary, regions, scoring=params, comparison=comparison(*methods))


def test_cells_are_mean_and_interval_in_the_unit_of_the_paper():
    """Golden: a summary by hand."""
    scores = measured(si=[0.87])
    row = {"method": "si", "n": 1, "trainings": 1, "dropped": 0, "sd": 0.1, "noise": "subjects"}
    numbers = {"dice": (0.87, 0.859, 0.8812), "ravd": (-0.0301, -0.1, 0.0), "assd": (2.154, 2, 3)}
    rows = [
        row | {"metric": f"{metric}_{region}", "mean": mean, "ci_low": low, "ci_high": high}
        for metric in METRICS
        for region in ("liver", "mean")
        for mean, low, high in [numbers.get(metric, (1.0, np.nan, np.nan))]
    ]
    result = preset_table(
        scores, pd.DataFrame(rows), ["mean"], scoring=scoring(), comparison=comparison("si")
    )
    assert result.frame.iloc[0].to_dict() == {
        "method": "S_I & co",
        "Dice (%)": "87.0 [85.9, 88.1]",
        "RAVD abs (%)": "100.0",
        "RAVD signed (%)": "-3.0 [-10.0, +0.0]",
        "ASSD (mm)": "2.15 [2.00, 3.00]",
        "MSSD (mm)": "1.00",
        "HD95 (mm)": "1.00",
        "NSD (%)": "100.0",
        "failures": "0 of 1",
    }


def test_rows_are_those_of_the_preset_in_its_order_and_missing_ones_say_not_run():
    scores = measured(other=[0.9], iia=[0.7], si=[0.8])
    frame = table(scores, "si", "linear", "iia").frame
    assert frame["method"].tolist() == ["S_I & co", "linear", "iia"]
    assert frame["Dice (%)"].tolist() == ["80.0", "not run", "70.0"]
    assert set(frame.iloc[1, 1:]) == {"not run"}


def test_a_preset_of_which_nothing_was_run_is_still_a_table():
    result = table(pd.DataFrame(columns=["case", "subject", "method", "dice_mean"]), "si", "iia")
    assert (result.frame.iloc[:, 1:] == "not run").all(axis=None)
    assert "No method" in result.note


def test_a_method_without_a_value_is_not_taken_for_one_that_was_not_run():
    result = table(measured(si=[np.nan], iia=[0.5]), "si", "iia")
    assert result.frame["ASSD (mm)"].tolist() == ["n/a", "0.50"]
    assert result.ranks["ASSD (mm)"][1] == 1


def test_ranks_follow_the_direction_of_each_metric():
    """Signed RAVD: nearest to 0."""
    ranks = table(measured(a=[-0.1], b=[0.2], si=[0.3]), "a", "b", "si").ranks
    assert ranks["Dice (%)"] == [3, 2, 1]
    assert ranks["RAVD signed (%)"] == [1, 2, 3]
    assert table(measured(a=[3], si=[2]), "a", "si").ranks["MSSD (mm)"] == [2, 1]


def test_cells_that_read_the_same_rank_the_same():
    ranks = table(measured(a=[0.80001], b=[0.8], si=[0.7], d=[0.6]), "a", "b", "si", "d").ranks
    assert ranks["Dice (%)"] == [1, 1, 3, 4]  # two best, no second


def test_every_class_has_its_columns_beside_the_mean():
    scores = measured(BOTH, si=[0.8, 0.9])
    scores["dice_tumour"] = [0.2, 0.2]
    frame = table(scores, "si", regions=all_regions(BOTH), label_names=BOTH).frame
    assert list(frame.columns[1:4]) == ["Dice (%), liver", "Dice (%), tumour", "Dice (%), mean"]
    assert frame["Dice (%), tumour"].tolist() == ["20.0 [20.0, 20.0]"]
    assert len(frame.columns) == 1 + 3 * len(METRICS) + 1


def test_an_unknown_region_is_refused():
    with pytest.raises(ValueError, match="no metric dice_spleen"):
        table(measured(si=[0.8]), "si", regions=["spleen"])


def test_failures_are_cases_over_whose_seeds_the_mean_dice_is_low():
    first, second = measured(si=[0.4, 0.4, 0.9]), measured(si=[0.7, 0.5, 0.9])
    scores = pd.concat([first.assign(seed=0), second.assign(seed=1)])
    assert table(scores, "si").frame["failures"].tolist() == ["1 of 3"]  # 0.55, 0.45, 0.9


def test_note_counts_subjects_cases_seeds_and_what_is_missing():
    scores = measured(si=[0.4, np.nan, 0.9], iia=[0.1, 0.2], other=[np.nan])
    scores["subject"] = scores["subject"].replace("p1", "p0")
    scores = pd.concat([scores.assign(seed=0), scores.assign(seed=1)])
    note = table(scores, "si", "iia").note
    assert "1 to 2 subjects, 2 to 3 cases, 2 seeds per method" in note
    assert "0 both, 10 of the prediction alone, 0 of the truth alone" in note
    assert "left out: Dice 2, RAVD abs 2," in note  # one case, both seeds
    assert "95% interval of the mean: noise of subjects, or of subjects and trainings]" in note
    assert "NSD at 1 mm" in note


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"both_empty": "drop"}, "neither truth nor prediction has: left out"),
        ({"both_empty": "perfect"}, "neither truth nor prediction has: Dice and NSD 100%"),
        ({"one_empty": "drop"}, "Dice and NSD 0, distances left out"),
        ({"one_empty": "diagonal"}, "Dice and NSD 0, distances the diagonal of the image"),
    ],
)
def test_note_states_the_policy_for_empty_masks(policy, said):
    assert said in table(measured(si=[0.4]), "si", **policy).note


def test_numbers_keep_full_precision_and_methods_that_were_not_run():
    summary = summarise_scores(measured(si=[1 / 3], other=[0.2]), scoring())
    numbers = preset_numbers(summary, comparison("si", "linear"))
    dice = numbers[numbers["metric"] == "dice_mean"]
    assert dice["mean"].tolist() == [1 / 3]
    assert set(numbers["method"]) == {"si", "linear"}
    assert numbers.loc[numbers["method"] == "linear", ["metric", "mean"]].isna().all(axis=None)


SMALL = ReportTable(
    "Table I, 50%",
    pd.DataFrame({"method": ["S_I & co", "a|b"], "Dice (%)": ["87.0", "80.0"]}),
    "n < 3",
    {"Dice (%)": [1, 2]},
)


def test_markdown_marks_best_and_second_and_escapes():
    caption, _, header, _, first, second, _, note, *_ = to_markdown(SMALL).split("\n")
    assert caption == "**Table I, 50%**"
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["method", "Dice (%)"]
    assert [cell.strip() for cell in first.strip("|").split("|")] == [r"S\_I & co", "**87.0**"]
    assert r"a\|b" in second
    assert "<u>80.0</u>" in second
    assert note == r"n \< 3"


def test_latex_marks_best_and_second_and_escapes():
    text = to_latex(SMALL, "tab:one")
    assert r"S\_I \& co & \textbf{87.0} \\" in text
    assert r"a\textbar{}b & \underline{80.0} \\" in text
    assert r"\caption{Table I, 50\%. n \textless{} 3}" in text
    assert r"\label{tab:one}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1


def test_latex_heads_the_classes_of_a_metric_together():
    frame = pd.DataFrame({"method": ["a"], "Dice (%), liver": ["1"], "Dice (%), mean": ["2"]})
    text = to_latex(ReportTable("t", frame), "tab:t")
    assert r"\multicolumn{2}{c}{Dice (\%)}" in text
    assert r"liver & mean \\" in text
    assert r"\begin{tabular}{lcc}" in text


def test_latex_braces_balance_whatever_the_names():
    frame = pd.DataFrame({"method": [r"{\evil}$x_1^2$~#"], "x": ["1"]})
    text = to_latex(ReportTable("%{", frame, ranks={"x": [1]}), "tab:t")
    plain = text.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    assert r"\{\textbackslash{}evil\}\$x\_1\textasciicircum{}2\$\textasciitilde{}\#" in text


def test_the_table_fits_the_report():
    result = table(measured(si=[0.8, 0.9], iia=[0.7, 0.8]), "si", "iia", "linear")
    page = render_report(ReportContent("T", "H", {}, [result], []))
    assert "not run" in page


MISPRINTS = {  # means that are not those of the two classes beside them
    ("table2", "IIA", "dice"),
    ("table2", "IIA", "mssd"),
    ("table3", "nnU-Net", "dice"),
    ("table4", "LD", "mssd"),
}


def published(name):
    with (PAPER / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_means_of_the_published_tables_are_those_of_their_classes():
    wrong = set()
    for name in (f"table{i}" for i in range(2, 8)):
        for row in published(name):
            for metric in ("dice", "ravd", "assd", "mssd"):
                *classes, mean = (
                    Decimal(value) for key, value in row.items() if key.startswith(metric)
                )
                if abs(sum(classes) / 2 - mean) > Decimal("0.005"):
                    wrong.add((name, row["method"], metric))
    assert wrong == MISPRINTS


@pytest.mark.parametrize(
    ("whole", "parts"), [("table2", ("table4", "table6")), ("table3", ("table5", "table7"))]
)
def test_the_full_method_is_the_last_row_of_its_ablations(whole, parts):
    for part in parts:
        full, ablated = (list(published(name)[-1].values())[1:] for name in (whole, part))
        assert full == ablated

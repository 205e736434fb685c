"""The report is one self-contained page that says what it was given, and nothing unescaped."""

import base64
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable, render_report
from slicefill.reporting.tables import comparison_table, summary_table

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Elements in order as (tag, attributes, text), with a check that they are nested well."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.elements
            if element[0] == tag and attributes.items() <= element[1].items()
        ]

    def texts(self, tag, **attributes):
        return [text.strip() for _, _, text in self.all(tag, **attributes)]


def page(**parts):
    content = {"title": "T", "headline": "H", "settings": {}, "tables": [], "figures": []}
    return Page(render_report(ReportContent(**(content | parts))))


def figure():
    drawn = Figure(figsize=(2, 1))
    drawn.subplots().plot([0, 1])
    buffer = BytesIO()
    drawn.savefig(buffer, format="png")
    return buffer.getvalue()


def test_page_is_self_contained():
    report = page(figures=[ReportFigure("A line.", figure())])
    assert report.all("script") == report.all("link") == []
    sources = [
        attrs[name] for _, attrs, _ in report.elements for name in ("src", "href") if name in attrs
    ]
    assert len(sources) == 1
    head, data = sources[0].split(",")
    assert head == "data:image/png;base64"
    assert Image.open(BytesIO(base64.b64decode(data))).size == (200, 100)  # 2 × 1 in, 160 dpi
    assert "url(" not in report.texts("style")[0]


def test_text_is_escaped_everywhere():
    evil = "<script>alert('&')</script>"
    report = page(
        title=evil,
        headline=evil,
        settings={evil: evil},
        tables=[ReportTable(evil, pd.DataFrame({evil: [evil]}), evil)],
        figures=[ReportFigure(evil, figure())],
        warnings=[evil],
        footnotes=[evil],
    )
    assert report.all("script") == []
    for tag in ("title", "h1", "td", "th", "li", "figcaption"):
        assert evil in report.texts(tag)


def test_best_is_bold_and_second_underlined():
    frame = pd.DataFrame({"method": ["a", "b", "c"], "PSNR": ["1 ± 0", "3 ± 0", "2 ± 0"]})
    report = page(tables=[ReportTable("t", frame, ranks={"PSNR": [3, 1, 2]})])
    assert report.texts("td", **{"class": "number best"}) == ["3 ± 0"]
    assert report.texts("td", **{"class": "number second"}) == ["2 ± 0"]


@pytest.mark.parametrize("ranks", [{"PSNR": [1, 2]}, {"SSIM": [1]}])
def test_ranks_that_do_not_fit_are_refused(ranks):
    frame = pd.DataFrame({"PSNR": [30.0]})
    with pytest.raises(ValueError, match="report table 'quality': ranks need"):
        page(tables=[ReportTable("quality", frame, ranks=ranks)])


def test_pictures_come_first_then_tables_and_everything_else_is_folded_behind_its_caption():
    report = page(
        tables=[ReportTable("main", pd.DataFrame({"a": [2]}))],
        figures=[ReportFigure("views", figure())],
        folded=[
            ReportTable("all slices", pd.DataFrame({"a": [1]})),
            ReportFigure("curves", figure()),
        ],
    )
    assert report.texts("figcaption") == ["views", "main"]
    assert report.texts("summary") == ["all slices", "curves", "What was run"]
    tags = [tag for tag, *_ in report.elements if tag in ("img", "table", "details")]
    assert tags == ["img", "table", "details", "table", "details", "img", "details", "table"]


def test_empty_table_says_none_and_missing_values_say_so():
    empty = ReportTable("refused", pd.DataFrame(columns=["case", "why"]))
    intervals = ReportTable("intervals", pd.DataFrame({"x": [np.nan, 0.123456], "y": [None, "ok"]}))
    assert page(tables=[empty]).texts("td") == ["none"]
    assert page(tables=[intervals]).texts("td") == ["n/a", "n/a", "0.1235", "ok"]


def test_numbers_are_set_flush_right_and_words_are_not():
    frame = pd.DataFrame({"case": ["c1"], "n": [3], "gain": ["+0.2"], "p": ["< 0.001"]})
    report = page(tables=[ReportTable("t", frame)])
    assert report.texts("th", **{"class": "number"}) == ["n", "gain", "p"]


def test_settings_are_collapsible_and_complete():
    report = page(settings={"seed": "7", "commit": "abc"})
    (details,) = report.texts("details")  # there is nothing else to fold
    for text in ("seed", "7", "commit", "abc"):
        assert text in details


def test_parts_that_are_absent_leave_no_heading():
    report = page()
    assert report.texts("h2") == ["Details"]  # what was run
    assert report.all("ul") == report.all("footer") == []


def summary():
    rows = [
        ("linear", "psnr_body", 10, 0, 27.9, 1.25),
        ("cubic", "psnr_body", 10, 0, 28.1, 1.5),
        ("linear", "bias_body", 10, 0, -0.5, 0.1),
        ("cubic", "bias_body", 9, 1, 0.75, 0.1),
    ]
    return pd.DataFrame(rows, columns=["method", "metric", "n", "dropped", "mean", "sd"])


def test_summary_ranks_each_metric_in_its_own_direction():
    table = summary_table(summary(), ["psnr_body", "bias_body"], "quality")
    assert table.frame["PSNR, body (dB)"].tolist() == ["27.90 ± 1.25", "28.10 ± 1.50"]
    assert table.ranks == {"PSNR, body (dB)": [2, 1], "bias, body (intensity)": [1, 2]}


def test_summary_tells_how_many_subjects_and_what_was_dropped():
    note = summary_table(summary(), ["psnr_body", "bias_body"], "quality").note
    assert "n = 9 to 10" in note
    assert "left out: 1." in note


def test_summary_names_the_metric_it_lacks():
    with pytest.raises(ValueError, match="no metric dice_mean"):
        summary_table(summary(), ["psnr_body", "dice_mean"], "quality")


def test_comparison_shows_interval_both_p_values_and_harm():
    row = {
        "metric": "psnr_body",
        "method": "slice_imputation",
        "reference": "cubic",
        "n": 22,
        "difference": 0.6,
        "ci_low": 0.4123,
        "ci_high": 0.8,
        "noise": "subjects",
        "p": 0.00001,
        "p_holm": 0.04,
        "harmed": 0.125,
    }
    table = comparison_table(pd.DataFrame([row]), "compared", 0.95)
    assert "95%. Of the noise of subjects alone" in table.note
    assert "Wilcoxon" in table.note
    frame = table.frame
    assert frame.iloc[0].tolist() == [
        "PSNR, body (dB)",
        "slice imputation",
        "cubic",
        22,
        "+0.600",
        "[+0.412, +0.800]",
        "subjects",
        "< 0.001",
        "0.040",
        "12%",
    ]


def test_with_too_few_subjects_a_comparison_has_neither_interval_nor_p():
    row = {"metric": "psnr_body", "method": "ours", "reference": "cubic", "n": 2, "difference": 0.6}
    untested = dict.fromkeys(("ci_low", "ci_high", "p", "p_holm"), np.nan) | {"noise": "subjects"}
    table = comparison_table(pd.DataFrame([row | untested | {"harmed": 0.5}]), "compared", 0.95)
    assert list(table.frame) == ["metric", "method", "against", "n", "gain", "cases harmed"]
    assert "with 6 subjects or more" in table.note


def test_a_comparison_of_single_trainings_has_an_interval_and_no_p():
    row = {"metric": "psnr_body", "method": "ours", "reference": "cubic", "n": 9, "difference": 0.6}
    alone = {"ci_low": 0.5, "ci_high": 0.7, "noise": "subjects", "p": np.nan, "p_holm": np.nan}
    table = comparison_table(pd.DataFrame([row | alone | {"harmed": 0.5}]), "compared", 0.95)
    assert {"interval", "noise"} < set(table.frame)
    assert not {"p", "p (Holm)"} & set(table.frame)
    assert "one training of each method cannot tell methods apart" in table.note

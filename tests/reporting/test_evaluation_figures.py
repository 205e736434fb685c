"""Pictures of a case: own labels are seen, nothing is called true that is not, captions fit."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import EvaluationParams
from slicefill.reporting.evaluation_figures import draw_case
from slicefill.reporting.evaluation_report import compose_report
from slicefill.reporting.figures.grid import COLOURS
from slicefill.simulation.subsampling import subsample
from slicefill.simulation.virtual_subjects import virtual_subject
from slicefill.types import Case


@pytest.fixture(scope="module")
def params(configuration):
    """Those of own scans, whose labels have no name."""
    return EvaluationParams(**configuration("scans")["parameters"]["evaluation"])


@pytest.fixture(scope="module")
def impute(imputation_params):
    rule = imputation_params(count=3, through_plane="S")
    return lambda case, name: impute_case(case, classical_imputer(name, rule), rule)


@pytest.fixture(scope="module")
def scan(subsampling):
    """A scan of thick slices; nothing is known of what lies between them."""
    thick = subsample(virtual_subject(0, (32, 36, 33)), subsampling(axis="S", factor=4))
    return Case(thick.image, thick.label)


def learned(case):
    """As if weights had imputed it."""
    return Case(case.image, case.label, case.maps, {**case.record, "weights": "pretrained"})


def headings(figure):
    shown = [axis.get_title() for axis in figure.axes if axis.get_title()]
    return [" ".join(title.split()) for title in shown]


def unread():
    pytest.fail("the truth was read, though there is none")


def test_own_labels_are_seen_without_names_and_beside_shape_matched_ones(scan, impute, params):
    linear, made = impute(scan, "linear"), learned(impute(scan, "linear"))
    figures = draw_case("a", {"linear": linear, "pretrained": made}, unread, params)
    assert set(figures) == {"imputed_a", "outlines_a"}
    assert headings(figures["outlines_a"]) == ["shape matched", "pretrained"]
    ids = sorted(set(np.unique(scan.label.stored)) - {0})
    (legend,) = figures["outlines_a"].legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named
    assert set(named) <= {f"label {label}" for label in ids}
    axes = [axis for axis in figures["outlines_a"].axes if axis.images]
    colours = {to_rgba(colour)[:3] for colour in COLOURS[: len(named)]}
    for axis in axes[:2]:
        tint = np.asarray(axis.images[-1].get_array())
        assert {tuple(rgb) for rgb in tint[tint[..., 3] > 0][:, :3]} <= colours
        assert (tint[..., 3] > 0).any()


def test_labels_of_the_baseline_are_the_same_whether_or_not_they_were_imputed_before(
    scan, impute, params
):
    made = learned(impute(scan, "linear"))
    drawn = [
        draw_case("a", {"pretrained": made, **more}, unread, params)["outlines_a"]
        for more in ({}, {"shape_matched": impute(scan, "shape_matched")})
    ]
    without, with_it = ([image.get_array() for a in f.axes for image in a.images] for f in drawn)
    for one, other in zip(without, with_it, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_a_truth_images_stand_beside_the_acquired_slices(scan, impute, params):
    figures = draw_case("a", {"linear": impute(scan, "linear")}, unread, params)
    assert headings(figures["imputed_a"]) == ["acquired slices", "linear"]


def test_labels_of_interpolation_alone_are_shown_too(scan, impute, params):
    nearest = {"nearest": impute(scan, "nearest")}
    assert headings(draw_case("a", nearest, unread, params)["outlines_a"]) == [
        "shape matched",
        "nearest",
    ]


def test_a_scan_without_labels_has_no_picture_of_them(scan, impute, params):
    imputed = {"linear": impute(Case(scan.image), "linear")}
    assert set(draw_case("a", imputed, unread, params)) == {"imputed_a"}


def test_where_the_truth_is_known_it_is_shown(impute, params, subsampling):
    truth = virtual_subject(0, (32, 36, 33))
    imputed = {"linear": impute(subsample(truth, subsampling(axis="S", factor=4)), "linear")}
    figures = draw_case("a", imputed, lambda: truth, params)
    assert headings(figures["views_a"]) == ["truth", "linear", "|linear - truth|"]
    assert headings(figures["labels_a"]) == ["truth", "shape matched", "linear"]


@pytest.fixture
def composed(configuration):
    """The report on a run without scores."""
    from pandas import DataFrame

    from slicefill.reporting.evaluation_tables import tabulate_adaptation

    names = ("summary", "comparisons", "slice_confidence", "refused")
    tables = {**dict.fromkeys(names, DataFrame()), "adaptation": tabulate_adaptation({})}
    parameters = dict(configuration("scans")["parameters"])
    return lambda *figures: compose_report(tables, dict.fromkeys(figures, b""), parameters)


def test_captions_say_what_is_seen(composed):
    made = composed("outlines_b", "imputed_b", "outlines_a", "imputed_a", "scores")
    captions = [figure.caption for figure in made.figures]
    assert [caption[:2] for caption in captions] == ["a:", "a:", "b:", "b:"]
    assert ["acquired slices, as thick" in caption for caption in captions] == [True, False] * 2
    assert not [caption for caption in captions if "truth" in caption or "difference" in caption]
    assert "interpolation (shape matched)" in captions[1]
    assert [each.caption for each in made.folded] == [
        "Every test case (dots, joined per case) and its method."
    ]
    known = [figure.caption for figure in composed("views_a", "labels_a").figures]
    assert all("truth" in caption for caption in known)

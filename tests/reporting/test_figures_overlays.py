"""What overlays show: predictions where they are right and wrong, the truth along its voxels."""

import matplotlib as mpl
import numpy as np
import pytest

from slicefill.reporting.figures import ViewSpec, overlays
from slicefill.reporting.figures.planes import upright_planes

SHAPE, SPACING = (4, 5, 6), (1.0, 2.0, 3.0)
NAMES = {0: "background", 3: "absent", 7: "tumour", 8: "oedema"}
SPEC = ViewSpec("case", SPACING, "RAS", 2, np.ones(6, bool), (1, 2, 4))
IMAGE = np.random.default_rng(0).normal(100, 20, SHAPE)


def box(label, *ranges):
    labels = np.zeros(SHAPE, int)
    labels[tuple(slice(*one) for one in ranges)] = label
    return labels


TRUTH = box(7, (1, 3), (1, 4), (2, 5))


def panels(figure):
    return np.array([axis for axis in figure.axes if axis.images]).reshape(3, -1)


def tint(panel):
    return panel.images[1].get_array()


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_columns_are_the_truth_then_every_method():
    names = ["SI without tp-smooth\nDice 0.87", "linear_n3\nDice 0.80"]
    top = panels(overlays(IMAGE, TRUTH, dict.fromkeys(names, TRUTH), NAMES, SPEC))[0]
    titles = [axis.get_title().splitlines() for axis in top]
    assert titles == [
        ["truth"],
        ["SI without tp-smooth", "Dice 0.87"],
        ["linear n3", "Dice 0.80"],
    ]


def test_narrow_columns_wrap_headings_between_words_only():
    eight = {f"SI without tp-smooth {n}\nDice 0.87": TRUTH for n in range(8)}
    top = panels(overlays(IMAGE, TRUTH, eight, NAMES, SPEC))[0]
    lines = top[1].get_title().splitlines()
    assert lines[-1] == "Dice 0.87"
    assert len(lines) > 2
    assert "tp-smooth" in " ".join(lines).split()


def test_truth_has_its_outline_but_no_tint():
    for axis in panels(overlays(IMAGE, TRUTH, {"SI": TRUTH}, NAMES, SPEC))[:, 0]:
        assert len(axis.images) == 1
        assert len(axis.collections) == 1


def test_outline_of_the_truth_follows_voxel_borders_in_every_column():
    """Voxels 1-2 by 1-3 of 4 by 5, 1 mm by 2 mm, both indices shown against their direction."""
    outlined = panels(overlays(IMAGE, TRUTH, {"SI": TRUTH * 0}, NAMES, SPEC))[0]
    for axis in outlined:
        points = axis.collections[0].get_paths()[0].vertices
        assert points.min(axis=0) == pytest.approx([1, 2], abs=0.01)
        assert points.max(axis=0) == pytest.approx([3, 8], abs=0.01)
        for corner in ((1, 2), (1, 8), (3, 2), (3, 8)):  # none is cut off
            assert np.abs(points - corner).max(axis=1).min() < 0.01


def test_outline_closes_where_the_truth_touches_the_border_of_the_image():
    everywhere = np.full(SHAPE, 7)
    axis = panels(overlays(IMAGE, everywhere, {}, NAMES, SPEC))[0, 0]
    outline = axis.collections[0].get_paths()[0].vertices
    assert outline.min(axis=0) == pytest.approx([0, 0], abs=0.01)
    assert outline.max(axis=0) == pytest.approx([4, 10], abs=0.01)
    assert (*axis.get_xlim(), *axis.get_ylim()) == pytest.approx((0, 4, 10, 0), abs=0.01)


def test_wrong_voxels_are_tinted_more_strongly_and_missed_ones_not_at_all():
    predicted = box(7, (1, 3), (2, 5), (2, 5))  # one row too far; misses the first
    predicted[2, 2] = 8  # and takes a column for another label
    figure = overlays(IMAGE, TRUTH, {"SI": predicted}, NAMES, SPEC)
    for axis, plane in zip(panels(figure)[:, 1], upright_planes(SPEC, SHAPE), strict=True):
        opacity, found, real = tint(axis)[..., 3], plane.cut(predicted), plane.cut(TRUTH)
        assert ((opacity > 0) == (found > 0)).all()
        correct, wrong = (found > 0) & (found == real), (found > 0) & (found != real)
        if wrong.any():
            assert opacity[wrong].min() > 2 * opacity[correct].max()


def test_outline_and_tint_share_the_colour_of_the_legend():
    figure = overlays(IMAGE, TRUTH, {"SI": TRUTH}, NAMES, SPEC)
    assert legend_texts(figure)[:3] == ["absent", "tumour", "oedema"]
    colour = figure.legends[0].get_lines()[1].get_color()
    axis = panels(figure)[0, 1]
    assert mpl.colors.same_color(axis.collections[0].get_edgecolor()[0], colour)
    inside = tint(axis)[..., 3] > 0
    assert np.allclose(tint(axis)[inside, :3], mpl.colors.to_rgb(colour))


def test_without_truth_predictions_are_neither_outlined_nor_judged():
    figure = overlays(IMAGE, None, {"SI": TRUTH, "IIA": TRUTH}, NAMES, SPEC)
    axes = panels(figure)
    assert [axis.get_title() for axis in axes[0]] == ["SI", "IIA"]
    assert all(len(axis.collections) == 0 for axis in axes.ravel())
    assert len(np.unique(tint(axes[0, 0])[..., 3])) == 2
    assert legend_texts(figure) == ["absent", "tumour", "oedema"]


def test_panels_are_in_mm():
    for axis in panels(overlays(IMAGE, TRUTH, {"SI": TRUTH}, NAMES, SPEC))[1]:
        assert axis.get_aspect() == 1
        assert {tuple(image.get_extent()) for image in axis.images} == {(0, 10, 18, 0)}


def test_a_prediction_on_another_grid_is_named():
    with pytest.raises(ValueError, match=r"one grid, .*the prediction of SI \(4, 5, 3\)"):
        overlays(IMAGE, TRUTH, {"SI": TRUTH[..., :3]}, NAMES, SPEC)


def test_labels_are_needed():
    with pytest.raises(ValueError, match="expected the truth or at least one prediction"):
        overlays(IMAGE, None, {}, NAMES, SPEC)


def test_legend_stays_within_the_figure():
    figure = overlays(IMAGE, TRUTH, {"SI": TRUTH}, NAMES, SPEC)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1


def test_many_labels_and_constant_images_render(tmp_path):
    names = {label: f"label {label}" for label in range(1, 25)}
    labels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 25
    figure = overlays(np.zeros(SHAPE), labels, {"SI": labels[::-1]}, names, SPEC)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0

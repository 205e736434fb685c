"""What the figures show: the right pixels, the right way up, at the right size, on one scale."""

from itertools import permutations, product

import matplotlib as mpl
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

from slicefill.reporting.figures import (
    Labelled,
    ViewSpec,
    label_views,
    views,
)
from slicefill.reporting.figures.planes import upright_planes

SHAPE, SPACING = (4, 5, 6), (1.0, 2.0, 3.0)
ORIENTATIONS = [
    "".join(code) for axes in permutations(("RL", "AP", "SI")) for code in product(*axes)
]


def spec(**changes):
    settings = {
        "title": "case",
        "spacing": SPACING,
        "orientation": "RAS",
        "axis": 2,
        "acquired": np.array([True, False, False, True, False, False]),
        "at": (1, 2, 4),
    }
    return ViewSpec(**(settings | changes))


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(100, 20, SHAPE)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_planes_are_upright_however_the_volume_is_stored(orientation):
    """Right, anterior and superior corner: upper left in every plane that goes through it."""
    canonical = np.zeros(SHAPE)
    canonical[-1, -1, -1] = 1  # RAS: the last voxel is right, anterior, superior
    to_stored = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(orientation))
    stored = apply_orientation(canonical, to_stored)
    corner = tuple(int(index) for index in np.argwhere(stored)[0])
    laid = spec(orientation=orientation, at=corner, acquired=np.ones(stored.shape[2], bool))
    planes = upright_planes(laid, stored.shape)
    assert [plane.name for plane in planes] == ["axial", "sagittal", "coronal"]
    assert [plane.cut(stored).shape for plane in planes] == [(5, 4), (6, 5), (6, 4)]
    for plane in planes:
        assert plane.cut(stored)[0, 0] == 1
    assert [plane.sides for plane in planes] == [("R", "A"), ("A", "S"), ("R", "S")]


def test_planes_measure_the_field_of_view_in_mm():
    axial, sagittal, coronal = upright_planes(spec(), SHAPE)
    assert (axial.size, sagittal.size, coronal.size) == ((4, 10), (10, 18), (4, 18))


def test_ticks_mark_acquired_slices_in_through_plane_views_only():
    """Slices 0 and 3 of 6, 3 mm apart, superior up: centres 16.5 and 7.5 mm below the top."""
    axial, sagittal, coronal = upright_planes(spec(), SHAPE)
    assert [len(along) for along in axial.ticks] == [0, 0]
    for plane in (sagittal, coronal):
        assert len(plane.ticks[0]) == 0
        assert sorted(plane.ticks[1]) == [7.5, 16.5]


@pytest.mark.parametrize(("index", "kind"), [(3, "acquired"), (4, "synthetic")])
def test_in_plane_view_says_what_kind_of_slice_it_is(index, kind):
    axial, sagittal, _ = upright_planes(spec(at=(1, 2, index)), SHAPE)
    assert axial.notes == (f"slice {index}", kind)
    assert sagittal.notes == ("slice 1",)


def panels(figure, rows=3):
    """Image panels as rows of axes, without the colour bar."""
    axes = [axis for axis in figure.axes if axis.images and axis.get_label() != "<colorbar>"]
    return np.array(axes).reshape(rows, -1)


def test_views_show_truth_then_each_method_and_its_difference(volume):
    figure = views(volume, {"linear": volume + 1, "cubic": volume - 2}, spec())
    top = panels(figure)[0]
    assert [axis.get_title().replace("\n", " ") for axis in top] == [
        "truth",
        "linear",
        "|linear - truth|",
        "cubic",
        "|cubic - truth|",
    ]
    assert np.allclose(top[2].images[0].get_array(), 1)
    assert np.allclose(top[4].images[0].get_array(), 2)


def test_differences_share_one_scale_from_zero(volume):
    imputed = {"good": volume + 1, "bad": volume + 10}
    grid = panels(views(volume, imputed, spec()))
    limits = {axis.images[0].get_clim() for axis in grid[:, [2, 4]].ravel()}
    assert limits == {(0.0, 10.0)}


def test_images_share_the_grey_window_of_the_truth(volume):
    grid = panels(views(volume, {"bright": volume * 3}, spec()))
    window = tuple(np.percentile(volume, (0.5, 99.5)))
    for axis in grid[:, :2].ravel():
        assert axis.images[0].get_clim() == pytest.approx(window)


def test_panels_keep_physical_proportions(volume):
    for axis in panels(views(volume, {"linear": volume}, spec()))[1]:
        assert axis.get_aspect() == 1
        assert axis.images[0].get_extent() == [0, 10, 18, 0]


def test_differences_of_unsigned_integers_do_not_wrap_around():
    truth = np.full(SHAPE, 200, np.uint8)
    figure = views(truth, {"dark": np.full(SHAPE, 10, np.uint8)}, spec())
    assert (panels(figure)[0, 2].images[0].get_array() == 190).all()


def test_views_without_truth_have_no_difference_columns(volume):
    figure = views(None, {"linear": volume, "cubic": volume}, spec())
    assert [axis.get_title() for axis in panels(figure)[0]] == ["linear", "cubic"]


def test_scale_bar_is_a_round_length_that_fits(volume):
    figure = views(None, {"linear": volume}, spec(spacing=(30.0, 20.0, 30.0)))  # 120 mm across
    texts = [text.get_text() for text in panels(figure)[0, 0].texts]
    assert "20 mm" in texts


@pytest.mark.parametrize(
    ("truth", "changes", "message"),
    [
        (np.zeros((4, 5, 7)), {}, "one grid"),
        (None, {"acquired": np.ones(5, bool)}, "one entry per slice along axis 2 \\(6\\), got 5"),
        (None, {"at": (1, 2, 6)}, "must be a voxel"),
    ],
)
def test_views_refuse_what_does_not_fit(volume, truth, changes, message):
    with pytest.raises(ValueError, match=message):
        views(truth, {"linear": volume}, spec(**changes))


def test_views_refuse_channels_and_nothing(volume):
    with pytest.raises(ValueError, match="three axes"):
        views(None, {"linear": volume[..., None]}, spec())
    with pytest.raises(ValueError, match="nothing to show"):
        views(None, {}, spec())


def test_label_views_outline_each_label_in_the_colour_of_the_legend(volume):
    label = np.zeros(SHAPE, int)
    label[1:3, 1:4, 2:5] = 7
    case = Labelled(volume, label)
    names = {0: "background", 3: "absent", 7: "tumour"}
    figure = label_views(case, {"linear": case}, names, spec())
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["absent", "tumour"]
    axial = panels(figure)[0, 0]
    outline = axial.collections[0].get_edgecolor()[0]
    assert mpl.colors.same_color(outline, legend.get_lines()[1].get_color())
    tint = axial.images[1].get_array()
    assert ((tint[..., 3] > 0) == (upright_planes(spec(), SHAPE)[0].cut(label) == 7)).all()


def test_label_views_refuse_labels_on_another_grid(volume):
    with pytest.raises(ValueError, match="the labels of linear"):
        label_views(None, {"linear": Labelled(volume, np.zeros((4, 5, 5)))}, {1: "a"}, spec())


@pytest.mark.parametrize(
    "draw",
    [
        lambda volume: views(volume, {"same": volume}, spec()),
        lambda volume: views(np.zeros(SHAPE), {"constant": np.zeros(SHAPE)}, spec()),
        lambda volume: label_views(
            None, {"a": Labelled(volume, np.zeros(SHAPE))}, {i: f"{i}" for i in range(20)}, spec()
        ),
    ],
    ids=["identical", "constant", "many labels"],
)
def test_degenerate_volumes_render(draw, volume, tmp_path):
    draw(volume).savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0

"""What the views of one imputed case show: which voxels, where, and where slices come from."""

import nibabel as nib
import numpy as np
import pytest

from slicefill.reporting.figures import grid_spec, imputation_views, imputed_spec
from slicefill.reporting.figures.planes import upright_planes
from slicefill.types import Case

NAMES = {0: "background", 1: "tumour", 2: "oedema"}
DEPTH, COUNT = 3, 3  # acquired slices, synthetic ones in each interval
PLACES = (DEPTH - 1) * (COUNT + 1) + 1


@pytest.fixture
def pair(volume):
    """An imputed case and its source; the acquired slices hold 0, 100 and 200, through axis 2."""

    def make(affine=None, labelled=True, channels=False):
        affine = np.diag([1.0, 2.0, 1.5, 1.0]) if affine is None else affine
        acquired_case = np.broadcast_to(np.arange(DEPTH) * 100, (5, 6, DEPTH)).astype(np.int16)
        image = np.broadcast_to(np.arange(PLACES) * 25, (5, 6, PLACES)).astype(np.int16)
        if channels:
            acquired_case, image = (
                np.stack([acquired_case, -acquired_case], -1),
                np.stack([image, -image], -1),
            )
        label = np.zeros((5, 6, PLACES), np.uint8)
        label[1:3, 2:5, 1:4] = 1
        confidence = np.full((5, 6, PLACES), 51, np.uint8)
        imputed = Case(
            volume(image, affine),
            volume(label, affine) if labelled else None,
            {"confidence": volume(confidence, affine, scale=(1 / 255, 0))},
            {"axis": 2, "count": COUNT},
        )
        return imputed, Case(volume(acquired_case, affine))

    return make


def drawn(imputed, acquired_case, at=(2, 3, 5)):
    """Panels by row and column."""
    figure = imputation_views(imputed, acquired_case, NAMES, imputed_spec("case", imputed, at))
    panels = [axis for axis in figure.axes if axis.images]
    return np.array(panels).reshape(3, -1), figure


def pixels(panel):
    return np.asarray(panel.images[0].get_array())


def test_columns_are_the_thick_slices_the_imputed_volume_its_labels_and_the_confidence(pair):
    panels, _ = drawn(*pair())
    assert [axis.get_title() for axis in panels[0]] == [
        "acquired slices",
        "imputed",
        "labels",
        "confidence",
    ]


def test_a_case_without_labels_has_no_column_and_no_legend_for_them(pair):
    panels, figure = drawn(*pair(labelled=False))
    assert [axis.get_title() for axis in panels[0]] == ["acquired slices", "imputed", "confidence"]
    assert not figure.legends


def test_a_thick_slice_reaches_half_way_to_the_next_and_is_never_mixed_with_it(pair):
    coronal = pixels(drawn(*pair())[0][2, 0])  # superior is up
    assert coronal[::-1, 0].tolist() == [0, 0, 100, 100, 100, 100, 200, 200, 200]


def test_the_imputed_column_holds_the_imputed_slice(pair):
    axial = pixels(drawn(*pair(), at=(2, 3, 5))[0][0, 1])
    assert (axial == 5 * 25).all()


def test_confidence_is_drawn_as_a_fraction_on_a_scale_from_0_to_1(pair):
    image = drawn(*pair())[0][0, 3].images[0]
    np.testing.assert_allclose(image.get_array(), 0.2, rtol=1e-6)
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)


def test_of_several_channels_the_first_is_drawn(pair):
    axial = pixels(drawn(*pair(channels=True), at=(2, 3, 5))[0][0, 1])
    assert (axial == 5 * 25).all()


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_fine_lines_cross_in_the_voxel_that_is_cut(pair, flips):
    imputed, acquired_case = pair(np.diag([*np.multiply([1.0, 2.0, 1.5], flips), 1.0]))
    at = (1, 4, 5)
    marked = np.zeros(imputed.image.stored.shape)
    marked[at] = 1
    panels, _ = drawn(imputed, acquired_case, at)
    planes = upright_planes(imputed_spec("case", imputed, at), marked.shape)
    for panel, plane in zip(panels[:, 1], planes, strict=True):
        ((row,), (column,)) = np.nonzero(plane.cut(marked))
        rows, columns = plane.cut(marked).shape
        vertical, horizontal = panel.lines[-2:]
        expected = (column + 0.5) * plane.size[0] / columns, (row + 0.5) * plane.size[1] / rows
        assert (vertical.get_xdata()[0], horizontal.get_ydata()[0]) == pytest.approx(expected)


def test_the_middle_is_that_of_the_labels_on_a_synthetic_slice(pair):
    imputed, _ = pair()
    spec = imputed_spec("case", imputed)
    assert spec.at == (1, 3, 2)  # labels impute 1:3, 2:5 and 1:4
    assert not spec.acquired[spec.at[2]]


def test_without_labels_the_middle_is_that_of_the_volume(pair):
    imputed, _ = pair(labelled=False)
    assert imputed_spec("case", imputed).at == (2, 3, 6)  # slice 4 was acquired


def test_the_grid_is_described_in_mm_and_anatomical_directions(pair):
    spec = imputed_spec("case", pair(nib.affines.from_matvec(np.diag([-1.0, 2, 1.5])))[0])
    assert spec.orientation == "LAS"
    assert spec.spacing == pytest.approx((1.0, 2.0, 1.5))
    assert np.flatnonzero(spec.acquired).tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    ("depth", "acquired", "place"),
    [
        (9, None, 4),
        (9, [0, 1, 5, 8], 3),  # intervals of 3 and of 2 slices, with 3 and 6 in the middle
        (9, [0, 4, 8], 6),  # both are as near
        (9, [2, 3, 4], 4),  # what lies outside is no interval
    ],
)
def test_the_cut_goes_through_the_middle_of_the_nearest_interval(volume, depth, acquired, place):
    grid = volume(np.zeros((5, 6, depth)), np.diag([1.0, 2.0, 1.5, 1.0]))
    assert grid_spec("case", grid, 2, acquired).at == (2, 3, place)

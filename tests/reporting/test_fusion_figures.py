"""Figures of fused views: with labels and without, and which slices were acquired."""

from dataclasses import replace

import numpy as np
import pytest

import slicefill
from slicefill.reporting.fusion_figures import draw_group

KNOWN = {"method": "nearest", "registration": "header", "device": "cpu", "count": 3}
NAMES = {0: "background", 1: "organ"}


@pytest.fixture
def sagittal(case):
    """A scan whose slices lie across its first array axis, from left to right."""
    view = case("f4", shape=(6, 20, 22), affine=np.diag([4.0, 1, 1, 1]))
    label = np.zeros((6, 20, 22), np.uint8)
    label[3:5, 8:12, 9:13] = 1
    return replace(view, label=view.label.with_stored(label))


def told(figure):
    return [text.get_text() for text in figure.texts]


def test_views_without_labels_are_drawn_as_images(sagittal):
    fused = slicefill.fuse([replace(sagittal, label=None)], **KNOWN)
    figure = draw_group({"one": fused, "two": fused}, None, NAMES)
    assert len(figure.axes) == 6
    assert "sagittal\nslice 10\nsynthetic" in told(figure)


def test_acquired_are_the_slices_of_the_reference_in_the_box_that_is_drawn(sagittal):
    fused = slicefill.fuse([sagittal], **KNOWN)
    figure = draw_group({"one": fused}, None, NAMES)
    begins = np.argwhere(fused.label.stored > 0).min(0) - np.array(fused.label.stored.shape) // 10
    assert f"slices count from {tuple(begins.tolist())}" in told(figure)[-2]
    notes = {text.split("\n")[0]: text for text in told(figure)}
    number = int(notes["sagittal"].split()[2])
    assert (number + begins[0]) % 4 == 2  # the middle of an interval
    assert "synthetic" in notes["sagittal"]
    assert not {"acquired", "synthetic"} & set(notes["axial"].split())
    ticks = figure.axes[0].get_xticks()  # from the right of the subject on the left of the panel
    width = abs(np.diff(figure.axes[0].get_xlim()))[0]
    places = np.sort(width - ticks - 0.5) + begins[0]
    assert (places % 4 == 0).all()
    assert len(places) >= 2

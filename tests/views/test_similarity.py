"""How alike views are where acquired slices cross, and what is left out because of it."""

from dataclasses import replace

import numpy as np
import pytest

import slicefill
from slicefill.simulation.views import TRUTH, ViewsParams, simulate_views
from slicefill.types import Case
from slicefill.views.alignment import align
from slicefill.views.similarity import crossing_similarity
from tests.simulation.test_views import blobs


def views(slice_mm):
    motion = ViewsParams(slice_mm=slice_mm, field_mm=None, rotation=8, translation=3, gamma=(1, 1))
    return simulate_views(blobs(), motion, 3)


@pytest.mark.parametrize("slice_mm", [3.0, 6.0])
def test_it_says_alignment_whatever_the_distance_of_slices(slice_mm):
    seen = views(slice_mm)
    truth = np.array(seen["coronal"].record[TRUTH])
    off = truth.copy()
    off[:3, 3] += 4
    pair = seen["axial"], seen["coronal"]
    assert crossing_similarity(*pair, truth) > 0.88  # labels of 100 each: edges are all there is
    assert crossing_similarity(*pair, off) < 0.75
    flat = replace(pair[1], image=pair[1].image.with_stored(0 * pair[1].image.stored))
    assert crossing_similarity(pair[0], flat, truth) == 0


def test_slices_that_never_cross_say_nothing():
    view = views(6.0)["axial"]
    between = np.eye(4)
    between[2, 3] = 3
    assert crossing_similarity(view, view, between) is None
    assert crossing_similarity(view, view, np.eye(4)) == pytest.approx(1)


def test_another_contrast_is_not_judged_by_it():
    seen = views(3.0)
    own = {"kind": "truth"}
    assert align(seen["axial"], seen["coronal"], own).crossing > 0.9
    other = {"kind": "rigid", "starts": [0], "metric": "mutual_information"}
    assert align(seen["axial"], seen["coronal"], other).crossing is None


def test_a_view_whose_slices_do_not_fit_is_left_out_with_a_word():
    """The view of another: the same outline, hardly the same inside."""
    seen = list(views(3.0).values())
    rng = np.random.default_rng(0)
    image = seen[1].image
    stranger = image.stored * rng.uniform(0, 1, image.stored.shape).astype(np.float32) ** 2
    own = Case(image.with_stored(stranger), seen[1].label, {}, seen[1].record)
    entry = {"registration": "truth", "method": "nearest", "least_similarity": 0.1}
    fused = slicefill.fuse([seen[0], own, seen[2]], **entry)
    (reason,) = fused.record["fusion"]["left_out"].values()
    assert "another subject" in reason
    assert "below 0.5 (least_crossing)" in reason
    kept = slicefill.fuse([seen[0], own], **entry, least_crossing=0.0)
    assert not kept.record["fusion"]["left_out"]

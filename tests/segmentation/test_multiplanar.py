"""Multi-planar U-Net: geometry of planes, which voxels teach, the fusion of orientations."""

from dataclasses import replace

import numpy as np
import pytest

from slicefill.metrics.overlap import dice
from slicefill.segmentation.engines.multiplanar import planes
from slicefill.segmentation.sampling import Drawing
from slicefill.segmentation.scans import Scan
from slicefill.types import Lazy

SPACING = np.array([1.5, 1.0, 0.8])
SHAPE = (29, 40, 52)
DRAWING = Drawing((16, 12), 0.5, None, (0, 7), 1.0)


def make_scan(image, label=None, step=4):
    acquired = np.arange(image.shape[0]) % step == 0
    label = np.zeros(SHAPE, np.int64) if label is None else label
    weight = np.ones(label.shape, np.float32)
    return Scan(image.astype(np.float32), label, weight, acquired, SPACING, 0)


def ellipsoid():
    where = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    centre, radii = np.array([20.0, 21.0, 19.0]), np.array([14.0, 12.0, 15.0])
    return (((where - centre) / radii) ** 2).sum(-1) < 1


def draw(scan, count=40, drawing=DRAWING, pitch=0.8):
    sampler = planes.PlaneSampler({"a": Lazy(lambda: scan, "a")}, drawing, pitch)
    return sampler.draw(count, np.random.default_rng(0))


@pytest.mark.parametrize("count", [1, 3])
def test_a_label_that_is_turned_and_turned_back_stays(count):
    label = ellipsoid()
    scan = make_scan(label[:, None], label * 7)

    def see(turned):
        inside = turned.image[:, 0]
        return np.stack([1 - inside, inside])

    found = planes.fuse_planes(see, 0.8, count)(scan)
    assert dice(found.argmax(0) == 1, label) >= 0.99
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_a_linear_field_comes_back_exactly():
    z, y, x = np.indices(SHAPE)
    field = 0.3 * z - 0.2 * y + 0.1 * x
    found = planes.fuse_planes(lambda turned: turned.image.swapaxes(0, 1), 0.8, 2)(
        make_scan(field[:, None])
    )
    inner = np.s_[8:-8, 12:-12, 15:-15]  # away from where the edge goes on
    np.testing.assert_allclose(found[0][inner], field[inner], atol=1e-4)


def test_more_orientations_begin_with_the_same():
    turns = planes.orientations(6)
    np.testing.assert_array_equal(planes.orientations(3), turns[:3])
    products = turns @ turns.swapaxes(1, 2)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1)


def test_pixels_of_a_plane_lie_one_pitch_apart_at_right_angles():
    """The image holds the position of every voxel in mm."""
    where = np.indices(SHAPE) * SPACING[:, None, None, None]
    small = Drawing((5, 4), 1.0, None, (0, 7), 1.0)
    label = np.zeros(SHAPE, np.int64)
    label[14, 20, 26] = 7  # so that every plane lies well inside
    image = draw(make_scan(where.swapaxes(0, 1), label), 10, small).image.double().numpy()
    rows, columns = np.diff(image, axis=2)[..., :-1], np.diff(image, axis=3)[:, :, :-1]
    for steps in (rows, columns):
        np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.8, atol=1e-4)
    np.testing.assert_allclose((rows * columns).sum(1), 0, atol=1e-4)
    normals = np.cross(rows[:, :, 0, 0], columns[:, :, 0, 0])
    assert len(np.unique(normals.round(2), axis=0)) == 10  # ten orientations


def test_only_voxels_of_acquired_slices_teach():
    index = np.broadcast_to(np.arange(SHAPE[0])[:, None, None], SHAPE)
    scan = make_scan(index[:, None], ellipsoid() * 7)
    masked = planes.acquired_labels_only(Lazy(lambda: scan, "a"))
    batch = draw(masked.make())
    known = batch.weight[:, 0] > 0
    away = (batch.image[:, 0] + 2) % 4 - 2  # slices from the nearest acquired one
    assert known.flatten(1).any(1).all()
    assert away[known].abs().max() <= 0.5 + 1e-4
    assert masked.fingerprint != "a"
    everything = draw(scan)
    assert ((everything.image[:, 0] + 2) % 4 - 2)[everything.weight[:, 0] > 0].abs().max() > 1


def test_synthetic_labels_change_nothing_that_teaches():
    label = ellipsoid() * 7
    scan = make_scan(np.random.default_rng(0).random((SHAPE[0], 1, *SHAPE[1:])), label)
    wrong = replace(scan, label=np.where(scan.acquired[:, None, None], label, 7 - label))
    one, other = (
        draw(planes.acquired_labels_only(Lazy(lambda own=own: own, "a")).make())
        for own in (scan, wrong)
    )
    assert (one.image == other.image).all()
    assert (one.weight == other.weight).all()
    assert (one.label == other.label)[one.weight > 0].all()
    assert (one.label[one.weight > 0] == 1).any()


def test_outside_of_the_volume_nothing_is_known():
    scan = make_scan(np.zeros((SHAPE[0], 1, *SHAPE[1:])), ellipsoid() * 7)
    batch = draw(scan, 5, Drawing((96, 96), 1.0, None, (0, 7), 1.0))
    assert 0 < batch.weight.mean() < 0.5


def test_without_a_turn_it_is_the_prediction_of_slices(monkeypatch):
    monkeypatch.setattr(planes, "orientations", lambda count: np.eye(3)[None].repeat(count, 0))
    image = np.random.default_rng(0).random((9, 1, 12, 10))
    scan = replace(make_scan(image, np.zeros((9, 12, 10), np.int64)), spacing=np.ones(3))
    found = planes.fuse_planes(lambda turned: turned.image.swapaxes(0, 1) ** 2, 1.0, 3)(scan)
    np.testing.assert_allclose(found[0], image[:, 0] ** 2, atol=1e-5)

"""Multi-planar U-Net: geometry of planes, which voxels teach, the fusion of orientations."""

from dataclasses import replace

import numpy as np
import pytest
from lightning_fabric import Fabric

from slicefill.metrics.overlap import dice
from slicefill.params import InferenceParams
from slicefill.segmentation.engines.multiplanar import planes
from slicefill.segmentation.sampling import Drawing
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.sliding_window import make_predictor
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
    sampler = planes.PlaneSampler({"a": Lazy(lambda: scan, "a")}, drawing, pitch, "none")
    return sampler.draw(count, np.random.default_rng(0))


@pytest.mark.parametrize("roll", ["none", "any"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_label_that_is_turned_and_turned_back_stays(count, roll):
    label = ellipsoid()
    scan = make_scan(label[:, None], label * 7)

    def see(turned):
        inside = turned.image[:, 0]
        return np.stack([1 - inside, inside])

    found = planes.fuse_planes(see, 0.8, count, roll)(scan)
    assert dice(found.argmax(0) == 1, label) >= 0.99
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_a_linear_field_comes_back_exactly():
    z, y, x = np.indices(SHAPE)
    field = 0.3 * z - 0.2 * y + 0.1 * x
    found = planes.fuse_planes(lambda turned: turned.image.swapaxes(0, 1), 0.8, 2, "any")(
        make_scan(field[:, None])
    )
    inner = np.s_[8:-8, 12:-12, 15:-15]  # away from where the edge goes on
    np.testing.assert_allclose(found[0][inner], field[inner], atol=1e-4)


@pytest.mark.parametrize("roll", ["none", "any"])
def test_more_orientations_begin_with_the_same(roll):
    turns = planes.orientations(6, roll)
    np.testing.assert_array_equal(planes.orientations(3, roll), turns[:3])
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
    unturned = np.eye(3)[None].repeat(3, 0)
    monkeypatch.setattr(planes, "orientations", lambda count, roll: unturned)
    image = np.random.default_rng(0).random((9, 1, 12, 10))
    scan = replace(make_scan(image, np.zeros((9, 12, 10), np.int64)), spacing=np.ones(3))
    found = planes.fuse_planes(see_squares, 1.0, 3, "none")(scan)
    np.testing.assert_allclose(found[0], image[:, 0] ** 2, atol=1e-5)


def see_squares(turned):
    return turned.image.swapaxes(0, 1) ** 2


@pytest.mark.parametrize("patch", [(80, 96), (32, 48)])
def test_training_sees_what_a_prediction_sees(monkeypatch, patch):
    """A plane is whole and has the margins of a prediction, or is a patch of such a one."""
    turn = planes.orientations(1, "any")
    monkeypatch.setattr(planes, "orientations", lambda count, roll: turn)
    monkeypatch.setattr(planes, "draw_orientation", lambda rng, roll: turn[0])
    image = np.random.default_rng(0).random((SHAPE[0], 1, *SHAPE[1:]))
    scan = make_scan(image, ellipsoid() * 7)
    seen = []

    def network(padded):
        seen.append(padded.numpy())
        return padded.repeat(1, 2, 1, 1)

    network.eval = lambda: None
    params = InferenceParams(overlap=0.5, batch=200)
    flat = make_predictor(Fabric(accelerator="cpu"), network, patch, params)
    planes.fuse_planes(flat, 0.8, 1, "any")(scan)
    batch = draw(scan, 12, Drawing(patch, 0.5, None, (0, 7), 1.0)).image.numpy()
    views = np.lib.stride_tricks.sliding_window_view(seen[0][:, 0], patch, (1, 2))
    corner = views[..., ::31, ::47]  # candidates by a few pixels first, then by all
    for own in batch[:, 0]:
        alike = np.argwhere((np.abs(corner - own[::31, ::47]) < 1e-5).all((-1, -2)))
        assert any(np.abs(views[tuple(place)] - own).max() < 1e-5 for place in alike)


def test_planes_are_tilted_slices_unless_they_roll():
    """The shortest turn that brings the normal of slices to that of the plane."""
    turns = planes.orientations(400, "none")
    tilt = turns[:, 0, 0]  # cosine between the normals
    np.testing.assert_allclose(np.trace(turns, axis1=1, axis2=2), 1 + 2 * tilt, atol=1e-9)
    diagonals = np.diagonal(turns, axis1=1, axis2=2)
    assert (diagonals >= -1e-9).all()  # up stays up, nothing is mirrored
    assert abs(tilt.mean() - 0.5) < 0.05  # of normals that are uniform on half a sphere
    rolling = planes.orientations(400, "any")
    assert 0.4 < (np.diagonal(rolling, axis1=1, axis2=2)[:, 1] < 0).mean() < 0.6

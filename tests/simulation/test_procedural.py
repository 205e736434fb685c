"""Procedural volumes: shapes, appearance, cases."""

from collections import Counter

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from slicefill.params import PretrainingParams
from slicefill.simulation import procedural
from slicefill.simulation.procedural import (
    paint,
    procedural_case,
    procedural_cases,
    procedural_volume,
    recolour,
    scan,
)
from slicefill.simulation.shapes import _FEATURES, _thickened, random_labels

SIZE = 40


@pytest.fixture
def volumes():
    return [procedural_volume(seed, SIZE, brain_fraction=0.0) for seed in range(8)]


def test_labels_are_several_connected_shapes_not_noise():
    for seed in range(5):
        labels = random_labels((SIZE,) * 3, np.random.default_rng(seed))
        assert labels.shape == (SIZE,) * 3
        assert len(np.unique(labels)) >= 3
        same = np.mean([(np.diff(labels, axis=axis) == 0).mean() for axis in range(3)])
        assert same > 0.7  # neighbours mostly share their label


@pytest.mark.parametrize("feature", sorted(set(_FEATURES), key=lambda f: f.__name__))
def test_every_kind_of_shape_appears_and_leaves_room(feature):
    share = np.mean([feature((SIZE,) * 3, np.random.default_rng(s)).mean() for s in range(8)])
    assert 0.001 < share < 0.7


def test_a_marked_voxel_becomes_a_ball_of_its_radius():
    radii = np.zeros((11, 11, 11), np.float32)
    radii[5, 5, 5] = 2.0
    ball = _thickened(radii)
    assert ball.sum() == 33  # lattice points within 2 of the centre
    assert label(ball)[1] == 1
    assert not _thickened(np.zeros_like(radii)).any()


def test_every_label_has_an_intensity_of_its_own():
    labels = np.repeat(np.arange(6, dtype=np.int16), 200).reshape(6, 20, 10)
    painted = paint(labels, np.random.default_rng(1))
    between = np.var([painted[k].mean() for k in range(6)])
    assert between > painted[0].var() / 200


def test_another_contrast_keeps_what_is_equal_equal():
    flat = np.repeat(np.linspace(0, 1, 5, dtype=np.float32), 4)
    for seed in range(4):
        changed = recolour(flat, np.random.default_rng(seed)).reshape(5, 4)
        assert (changed == changed[:, :1]).all()
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_a_scan_imputes_its_window(volumes):
    for volume in volumes:
        assert volume.dtype == np.float32
        assert volume.min() == 0
        assert volume.max() == 1
        assert 0.002 < (volume == 1).mean() < 0.05


def test_a_scan_blurs_and_adds_noise():
    step = np.zeros((SIZE,) * 3, np.float32)
    step[SIZE // 2 :] = 1
    rough = [scan(step, np.random.default_rng(seed))[0] for seed in range(12)]
    noise = [np.std((seen - gaussian_filter(seen, 1))[-12:-4]) for seen in rough]
    assert max(noise) > 2 * min(noise)
    assert all(0.02 < seen[SIZE // 2 - 1 : SIZE // 2 + 1].mean() < 0.98 for seen in rough)


def test_the_seed_is_the_volume(volumes):
    assert np.array_equal(procedural_volume(3, SIZE, 0.0), volumes[3])
    assert not np.allclose(volumes[3], volumes[4])


def test_slices_are_related_but_not_the_same(volumes):
    """What a network can learn from: neighbours tell more than slices far away."""
    near, far = (
        np.mean([np.abs(v[8:] - v[8 - step : -step or None][: len(v) - 8]).mean() for v in volumes])
        for step in (1, 8)
    )
    assert near < 0.7 * far


def test_brains_and_bodies_are_in_it_as_often_as_asked(monkeypatch):
    drawn = Counter()
    for kind in ("_brain", "body_volume", "_shapes"):

        def make(shape, rng, kind=kind):
            drawn[kind] += 1
            return np.zeros(shape, np.float32)

        monkeypatch.setattr(procedural, kind, make)
    monkeypatch.setattr(procedural, "scan", lambda signal, rng: (signal, signal))
    for seed in range(400):
        procedural_volume(seed, 2, brain_fraction=0.5, body_fraction=0.2)
    shares = [drawn[kind] / 400 for kind in ("_brain", "body_volume", "_shapes")]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.08)


def test_brains_are_finite_and_show_something():
    brains = [procedural_volume(seed, SIZE, brain_fraction=1.0) for seed in range(3)]
    assert all(np.isfinite(brain).all() and brain.std() > 0.05 for brain in brains)


def test_cases_are_named_by_seed_and_marked_by_recipe(configuration):
    base = configuration()["parameters"]["pretraining"]
    params = PretrainingParams(**{**base, "size": SIZE, "brain_fraction": 0.0})
    cases = procedural_cases(params, 7, 3)
    assert list(cases) == ["000007", "000008", "000009"]
    assert len({promise.fingerprint for promise in cases.values()}) == 3
    larger = params.model_copy(update={"size": SIZE + 1})
    assert procedural_cases(larger, 7, 1)["000007"].fingerprint != cases["000007"].fingerprint
    made = cases["000008"].make()
    assert np.array_equal(made.image.stored, procedural_case(8, SIZE, 0.0).image.stored)
    assert made.image.spacing.tolist() == [1, 1, 1]
    assert made.record["seed"] == 8

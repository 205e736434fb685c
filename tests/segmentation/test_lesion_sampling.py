"""Patches for small objects: shares, distances, and that every lesion counts alike."""

from itertools import combinations

import numpy as np
import pytest

from slicefill.params.segmentation import LesionSampling
from slicefill.segmentation.lesion_sampling import LesionSampler, find_centres
from slicefill.segmentation.sampling import Drawing
from slicefill.segmentation.scans import Scan
from slicefill.types import Lazy

SHAPE, SPACING = (16, 40, 40), np.array([2.0, 1.0, 1.0])
SPOT, ORGAN = (3, 5, 5), (slice(8, 14), slice(20, 36), slice(20, 36))


def make_scan(lesions=True):
    """A lesion of one voxel and one of 1536, a bright tube, and noise; intensities in [0, 1]."""
    image = np.random.default_rng(0).random(SHAPE, np.float32) * 0.5
    image[:, 10:13, 25:28] += 0.5
    label = np.zeros(SHAPE, np.int64)
    if lesions:
        label[SPOT] = label[ORGAN] = 7
    weight = np.ones(SHAPE, np.float32)
    return Scan(image[:, None], label, weight, np.ones(SHAPE[0], bool), SPACING, 0)


def make_sampler(scans, patch=(1, 1, 1), share=0.5, classes=(0, 7), **changes):
    drawing = Drawing(patch, share, None, classes, 1.0)
    params = LesionSampling(**{"distance": 8.0, "negatives": 20} | changes)
    promises = {name: Lazy(lambda scan=scan: scan, name) for name, scan in scans.items()}
    return LesionSampler(promises, drawing, params)


def centres(scan=None, **changes):
    sampler = make_sampler({"a": scan or make_scan()}, **changes)
    source = sampler._cache["a"]
    return source, find_centres(source, source.labelled, sampler._params)


@pytest.mark.parametrize(("share", "hard", "expected"), [(0.25, 0.5, 3), (0.5, 0.0, 6), (1, 1, 12)])
def test_as_many_patches_show_a_lesion_as_asked_for(share, hard, expected):
    sampler = make_sampler({"a": make_scan()}, share=share, hard_fraction=hard)
    for seed in range(5):
        batch = sampler.draw(12, np.random.default_rng(seed))
        assert int(batch.label.flatten(1).any(1).sum()) == expected


def test_shares_hold_on_average_where_a_batch_is_small():
    sampler = make_sampler({"a": make_scan()}, share=0.33, hard_fraction=0.5, negatives=3)
    rng = np.random.default_rng(0)
    drawn = [sampler.draw(2, rng) for _ in range(600)]
    lesions = np.array([int(one.label.flatten(1).any(1).sum()) for one in drawn])
    hard = [bool(v > 0.9) for one in drawn for v in one.image.flatten()]
    assert set(lesions) == {0, 1}  # of 0.66
    assert lesions.mean() / 2 == pytest.approx(0.33, abs=0.03)
    assert np.mean(hard) == pytest.approx(0.67 * 0.5, abs=0.04)


def test_hard_patches_are_centred_on_bright_voxels():
    sampler = make_sampler({"a": make_scan()}, share=0.0, hard_fraction=0.75, negatives=3)
    image = sampler.draw(12, np.random.default_rng(0)).image.flatten()
    assert int((image > 0.9).sum()) == 9
    assert int(((image > 0.05) & (image < 0.5)).sum()) == 3  # within the band


@pytest.mark.parametrize("hard", ["bright", "gradient"])
def test_no_two_centres_are_nearer_than_the_distance(hard):
    source, found = centres(hard=hard)
    chosen = np.concatenate([found.hard, found.usual])
    assert len(found.hard) > 3
    apart = [np.linalg.norm((one - other) * SPACING) for one, other in combinations(chosen, 2)]
    assert min(apart) >= 8
    assert not source.label[tuple(chosen.T)].any()
    assert len(found.hard) <= 20


def test_edges_between_thick_slices_are_steep_by_the_millimetre():
    """A slope of 0.03 per mm across 5 mm slices, and an edge of 0.09 per mm in the plane."""
    scan = make_scan(lesions=False)
    fading = np.clip(1 - np.arange(SHAPE[2]) / 20, 0, 1)
    scan.image[:] = 0.15 * np.minimum(np.arange(SHAPE[0]), 4)[:, None, None, None] * fading
    scan.image[..., 30:] += 0.18
    thick = Scan(scan.image, scan.label, scan.weight, scan.acquired, np.array([5.0, 1, 1]), 0)
    steepest = centres(thick, hard="gradient", negatives=5)[1].hard
    assert set(steepest[:, 2]) <= {29, 30}


def test_a_lesion_in_an_organ_is_drawn_as_often_as_the_organ():
    """Fragments of the organ do not crowd it out either."""
    scan = make_scan()
    scan.label[:] = 0
    scan.label[ORGAN] = scan.label[::4, 2, ::4] = 3
    inner = (slice(10, 12), slice(24, 26), slice(24, 26))
    scan.label[inner] = 7
    found = centres(scan, classes=(0, 3, 7))[1]
    assert [len(of_class) for of_class in found.lesions] == [41, 1]
    assert len(found.lesions[1][0]) == scan.label[inner].size
    rng = np.random.default_rng(0)
    drawn = np.array([found.draw("lesion", rng) for _ in range(400)])
    assert 150 < np.count_nonzero(scan.label[tuple(drawn.T)] == 7) < 250


def test_slices_without_labels_between_others_cut_no_lesion_in_two():
    """As of an imputed scan with every fourth slice acquired, and no synthetic labels."""
    label = np.zeros((17, 12, 12), np.int64)
    label[:, 2:4, 2:4] = label[4:13, 8, 8] = 7
    acquired = np.arange(17) % 4 == 0
    label[~acquired] = 0
    weight = np.broadcast_to(acquired[:, None, None], label.shape).astype(np.float32)
    scan = Scan(np.zeros((17, 1, 12, 12), np.float32), label, weight, acquired, SPACING, 0)
    ((tube, spot),) = centres(scan)[1].lesions
    assert sorted(set(tube[:, 0])) == [0, 4, 8, 12, 16]
    assert spot.tolist() == [[4, 8, 8], [8, 8, 8], [12, 8, 8]]


def test_lesions_are_drawn_alike_whatever_their_size():
    sampler = make_sampler({"a": make_scan()}, share=1.0)
    label = make_scan().image[SPOT[0], 0, SPOT[1], SPOT[2]]
    image = sampler.draw(600, np.random.default_rng(0)).image.flatten().numpy()
    assert 240 < np.count_nonzero(image == label) < 360


def test_cases_without_lesions_are_passed_for_those_that_have_some():
    sampler = make_sampler({"a": make_scan(lesions=False), "b": make_scan()}, share=0.5)
    batch = sampler.draw(40, np.random.default_rng(0))
    assert int(batch.label.flatten(1).any(1).sum()) == 20


def test_without_any_lesion_patches_lie_anywhere():
    sampler = make_sampler({"a": make_scan(lesions=False)}, share=1.0)
    assert not sampler.draw(8, np.random.default_rng(0)).label.any()


def test_slices_without_labels_are_not_drawn():
    scan = make_scan()
    scan.weight[:8] = 0
    for patch in ((1, 1), (1, 1, 1)):
        batch = make_sampler({"a": scan}, patch).draw(50, np.random.default_rng(0))
        assert (batch.weight > 0).all()


def test_two_generators_in_the_same_state_draw_the_same():
    one, other = (make_sampler({"a": make_scan()}, (4, 8, 8)) for _ in range(2))
    drawn = [each.draw(6, np.random.default_rng(1)).image for each in (one, other)]
    assert (drawn[0] == drawn[1]).all()


def test_a_band_that_falls_is_refused():
    with pytest.raises(ValueError, match="the lower one first"):
        LesionSampling(band=(0.8, 0.2))

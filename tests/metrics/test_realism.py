"""Realism: known distances, order of methods on phantoms, planted copies and duplicates."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from slicefill.metrics import DescribedSet, list_set_metrics
from slicefill.metrics.image import ImagePair
from slicefill.metrics.realism import METRICS, real_in_place
from slicefill.metrics.realism.copies import ms_ssim, nearest_correlation, nearest_similarity
from slicefill.metrics.realism.distances import balanced_accuracy, frechet, mahalanobis, mmd
from slicefill.metrics.realism.encoder import encode
from slicefill.metrics.realism.windows import Windows, describe_windows, gather

BY_NAME = {metric.name: metric for metric in METRICS}
SHAPE, FACTOR, SUBJECTS = (41, 40, 40), 4, 6


def phantom(seed):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    radii = rng.uniform(0.7, 0.95, (3, 1, 1, 1))
    body = np.square(grid / radii).sum(axis=0) < 1
    texture = gaussian_filter(rng.normal(size=SHAPE), 1.0)
    return np.where(body, 0.5 + 0.9 * texture, 0)


def interpolate(volume, share):
    """Linear between kept slices; `share` of what it lost is given back, as a learner might."""
    made = volume.copy()
    for low in range(0, SHAPE[0] - 1, FACTOR):
        for step in range(1, FACTOR):
            t = step / FACTOR
            blend = (1 - t) * volume[low] + t * volume[low + FACTOR]
            made[low + step] = share * volume[low + step] + (1 - share) * blend
    return made


def pair(made, truth):
    synthetic = np.arange(SHAPE[0]) % FACTOR > 0
    return ImagePair(made, truth, synthetic, 0.0, 1.0, {"": truth > 0})


def described(share, subjects=SUBJECTS):
    """A set of imputed phantoms, a subject each."""
    truths = {str(seed): phantom(seed) for seed in range(subjects)}
    return DescribedSet(
        {
            subject: [describe_windows(pair(interpolate(truth, share), truth), truth > 0)]
            for subject, truth in truths.items()
        }
    )


@pytest.fixture(scope="module")
def linear():
    return described(0.0)


@pytest.fixture(scope="module")
def learned():
    return described(0.7)


@pytest.mark.parametrize("name", ["c2st_reformatted", "frechet_reformatted", "mmd_reformatted"])
def test_order_of_methods_on_reformatted_slices(linear, learned, name):
    metric = BY_NAME[name]
    control = metric.compute(real_in_place(linear))
    assert control < metric.compute(learned) < metric.compute(linear)
    if name == "c2st_reformatted":
        assert control == pytest.approx(0.5, abs=0.05)
        assert metric.compute(linear) > 0.8


def test_a_perfect_method_scores_as_the_control(linear):
    perfect = described(1.0)
    for name in ("c2st_in_plane", "mahalanobis_reformatted", "mmd_columns"):
        metric = BY_NAME[name]
        assert metric.compute(perfect) == metric.compute(real_in_place(linear))


def planted(found, kind):
    """Replace 20 % of synthetic windows by training slices, or 90 % by one and the same."""
    truths = [phantom(seed) for seed in range(100, 104)]
    training = {
        f"t{seed}": [describe_windows(pair(truth, truth), truth > 0)]
        for seed, truth in enumerate(truths)
    }
    source = training["t0"][0][1]
    cases = {}
    for number, (subject, (one,)) in enumerate(found.cases.items()):
        spoiled = one.copy()
        for place in range(one.shape[2]):
            count = number * one.shape[2] + place
            if kind == "copies" and count % 5 == 0:
                spoiled[0, :, place] = source[:, place]
            if kind == "duplicates" and count % 10:
                spoiled[0, :, place] = source[:, 3]
        cases[subject] = [spoiled]
    return DescribedSet(cases, training)


@pytest.mark.parametrize("plane", ["in_plane", "reformatted"])
def test_planted_copies_and_duplicates_are_found(learned, plane):
    memorisation, collapse = BY_NAME[f"memorisation_{plane}"], BY_NAME[f"collapse_{plane}"]
    copies, duplicates = planted(learned, "copies"), planted(learned, "duplicates")
    assert 0.19 < memorisation.compute(copies) < 0.3
    assert memorisation.compute(real_in_place(copies)) < 0.1
    assert collapse.compute(duplicates) > 0.89
    assert collapse.compute(real_in_place(duplicates)) < 0.1


def test_windows_have_as_many_statistics_as_no_windows():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64)).astype(np.uint8)
    some, none = (Windows(pixels[:n], np.repeat("a", n)) for n in (2, 0))
    assert encode(some).shape[1] == encode(none).shape[1] == 17


def test_the_same_subject_is_no_copy():
    pixels = np.random.default_rng(0).integers(0, 255, (4, 64, 64)).astype(np.uint8)
    alone = Windows(np.concatenate([pixels, pixels]), np.repeat("a", 8))
    assert np.isnan(nearest_similarity(alone, alone)).all()
    two = Windows(np.concatenate([pixels, pixels]), np.repeat(["a", "b"], 4))
    assert nearest_similarity(two, two) == pytest.approx(1)


@pytest.mark.parametrize("motion", [(0, 0), (-3, 5), (8, -8)])
def test_a_copy_that_was_moved_is_found(motion):
    noise = np.random.default_rng(0).normal(size=(40, 96, 96))
    texture = gaussian_filter(noise, (0, 1.5, 1.5)) * 200 + 127
    row, column = 16 + motion[0], 16 + motion[1]
    moved, still = texture[:4, row : row + 64, column : column + 64], texture[:, 16:80, 16:80]
    windows, among = (np.clip(each, 0, 255).astype(np.uint8) for each in (moved, still))
    real = Windows(among, np.arange(len(among)).astype(str))
    found = nearest_correlation(Windows(windows, np.repeat("another", 4)), real)
    assert found == pytest.approx(1, abs=1e-3)


def test_ms_ssim_agrees_with_torchmetrics():
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    rng = np.random.default_rng(0)
    images = gaussian_filter(rng.uniform(0, 255, (3, 64, 64)), (0, 2, 2))
    images = np.concatenate([images, images[:1] + rng.normal(0, 3, (1, 64, 64))])
    expected = multiscale_structural_similarity_index_measure(
        torch.from_numpy(images[:1] / 255)[:, None].expand(4, -1, -1, -1),
        torch.from_numpy(images / 255)[:, None],
        data_range=1.0,
        betas=(0.0711, 0.4530, 0.4759),
        reduction="none",
        normalize="relu",
    )
    assert ms_ssim(images[0], images) == pytest.approx(expected.numpy(), abs=0.01)


def test_distances_of_known_distributions():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4)) * 2 + [3, 0, 0, 0]
    assert frechet(other, one) == pytest.approx(9 + 4 * (2 - 1) ** 2, rel=0.1)
    assert mahalanobis(one, one) == pytest.approx(4, rel=0.05)
    assert mmd(one[:500], one[500:1000]) == pytest.approx(0, abs=0.003)
    assert mmd(one[:300], other[:300]) > 0.1
    values = [mmd(rng.normal(size=(20, 2)), rng.normal(size=(20, 2)), 1.0) for _ in range(300)]
    assert np.mean(values) == pytest.approx(0, abs=0.01)  # unbiased: both signs


def test_a_classifier_does_not_recognise_subjects():
    """What is constant in a subject tells nothing where both classes come from all of them."""
    rng = np.random.default_rng(0)
    whose = np.repeat(np.arange(20), 8).astype(str)
    own = np.repeat(rng.normal(size=(20, 3)) * 5, 8, axis=0)
    made, real = (own + rng.normal(size=own.shape) for _ in range(2))
    assert balanced_accuracy(made, real, whose, whose) == pytest.approx(0.5, abs=0.08)
    assert balanced_accuracy(made + 30, real, whose, whose) == 1
    assert np.isnan(balanced_accuracy(made[:8], real[:8], whose[:8], whose[:8]))


def test_windows_lie_at_alternating_places():
    truth = np.ones(SHAPE) * np.arange(SHAPE[0])[:, None, None] / 100 + 0.01
    cut = describe_windows(pair(truth, truth), truth > 0)
    values = [np.unique(cut[kind, 0].max(axis=(1, 2))) for kind in range(3)]
    assert not set(values[0]) & set(values[1])
    assert np.array_equal(values[0], values[2])


def test_nothing_to_compare_is_nan():
    empty = DescribedSet({"a": [np.zeros((3, 3, 8, 64, 64), np.uint8)]})
    for metric in METRICS:
        assert np.isnan(metric.compute(empty)), metric.name
    assert len(gather(DescribedSet({}), "rows")[0]) == 0


def test_requests():
    names = [metric.name for metric in list_set_metrics(["c2st", "mmd_rows"])]
    assert "c2st_reformatted" in names
    assert "mmd_rows" in names
    assert "mmd_columns" not in names
    assert "intensity_distance" in names
    with pytest.raises(ValueError, match=r"evaluation.metrics: expected some of .*got 'fid'"):
        list_set_metrics(["fid"])

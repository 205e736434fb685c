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
from slicefill.metrics.realism.ellipses import ellipses
from slicefill.metrics.realism.encoder import encode
from slicefill.metrics.realism.windows import Windows, describe_windows, gather
from slicefill.metrics.sets import description

BY_NAME = {metric.name: metric for metric in METRICS}
SHAPE, FACTOR, SUBJECTS = (41, 40, 40), 4, 6


def phantom(seed):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    radii, centre = rng.uniform(0.6, 0.8, (3, 1, 1, 1)), rng.uniform(-0.15, 0.15, (3, 1, 1, 1))
    body = np.square((grid - centre) / radii).sum(axis=0) < 1
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


def known():
    """Four subjects of training, described as their own imputation; and their volumes."""
    volumes = [phantom(seed) for seed in range(100, 104)]
    every = np.ones(SHAPE[0], bool)
    pairs = [ImagePair(each, each, every, 0.0, 1.0, {"": each > 0}) for each in volumes]
    return {
        f"t{n}": [describe_windows(each, each.masks[""])] for n, each in enumerate(pairs)
    }, volumes


def planted(draw, share=1.0, axis=0):
    """Replace slices of learned volumes by whole ones of training, which `draw` says."""
    training, volumes = known()
    rng, cases = np.random.default_rng(0), {}
    for seed in range(SUBJECTS):
        truth = phantom(seed)
        made = interpolate(truth, 0.7)
        slices = np.moveaxis(made, axis, 0)
        for place in range(len(slices)):
            volume, there = draw(rng, volumes)
            if rng.random() < share and (axis or place % FACTOR):
                slices[place] = np.moveaxis(volume, axis, 0)[there]
        cases[str(seed)] = [describe_windows(pair(made, truth), truth > 0)]
    return DescribedSet(cases, training)


def any_slice(rng, volumes):
    return volumes[rng.integers(len(volumes))], rng.integers(12, 29)


def one_slice(_, volumes):
    return volumes[0], 20


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_whole_slices_of_training_are_found(learned, share):
    """Wherever their subject lay in its volume, and whichever of its slices they are."""
    copies, memorisation = planted(any_slice, share), BY_NAME["memorisation_in_plane"]
    before, after = (gather(each, "in_plane")[0].pixels for each in (learned, copies))
    replaced = (before != after).any(axis=(1, 2)).mean()
    assert replaced > 0.1
    assert memorisation.compute(copies) == pytest.approx(replaced, abs=0.03)
    assert memorisation.compute(real_in_place(copies)) < 0.05


def test_reformatted_slices_of_training_are_found():
    copies, memorisation = planted(any_slice, axis=1), BY_NAME["memorisation_reformatted"]
    assert memorisation.compute(copies) > 0.4  # half of the windows lie across the other axis
    assert memorisation.compute(real_in_place(copies)) < 0.05


@pytest.mark.parametrize(
    ("plane", "axis", "least"), [("in_plane", 0, 0.8), ("reformatted", 1, 0.4)]
)
def test_duplicates_are_found(plane, axis, least):
    duplicates, collapse = planted(one_slice, 0.9, axis), BY_NAME[f"collapse_{plane}"]
    assert collapse.compute(duplicates) > least
    assert collapse.compute(real_in_place(duplicates)) < 0.1


def test_more_subjects_of_training_are_no_memorisation():
    """Smooth slices find their like among many: so do real ones, which set the threshold."""
    rng = np.random.default_rng(0)

    def windows(subjects, kinds):
        smooth = gaussian_filter(rng.normal(size=(subjects * 8, 64, 64)), (0, 9, 9)) * 2000 + 127
        pixels = np.clip(smooth, 0, 255).astype(np.uint8).reshape(subjects, 1, 1, 8, 64, 64)
        cut = np.zeros((subjects, kinds, 3, 8, 64, 64), np.uint8) + pixels
        return {f"{kinds}{n}": [one] for n, one in enumerate(cut)}

    described = DescribedSet(windows(6, 3), windows(40, 1))
    assert BY_NAME["memorisation_in_plane"].compute(described) < 0.05


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


def test_a_classifier_leaves_subjects_of_one_set_alone_aside():
    rng = np.random.default_rng(0)
    made, real = rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    found = balanced_accuracy(made, real, np.array([*"ABCCC"]), np.array([*"AB"]))
    assert 0 <= found <= 1  # a fold of A and C had no real window to learn from
    assert np.isnan(balanced_accuracy(made, real, np.array([*"ACCCC"]), np.array([*"AB"])))


def brightness(depth, seed):
    """A case whose slices tell their place by their grey level, and windows of it."""
    truth = np.ones((depth, 16, 16)) * np.arange(depth)[:, None, None] * 3 / 255 + 0.2
    truth[0, 0, 0] += seed / 255  # another case, for the draw
    images = ImagePair(truth, truth, np.arange(depth) % FACTOR > 0, 0.0, 1.0, {"": truth > 0})
    cut = describe_windows(images, truth > 0)[:, 0].max(axis=(2, 3)).astype(int)
    return [((values[values > 0] - 51) // 3) for values in cut]


def test_windows_lie_at_alternating_places():
    made, real, control = brightness(41, 1)
    assert len(made) == len(real) == 8
    assert not set(made) & set(real)
    assert np.array_equal(made, control)
    pairs = np.sort(np.stack([made, real]), axis=0)
    assert (pairs[0, 1:] > pairs[1, :-1]).all()


@pytest.mark.parametrize("depth", [29, 33, 61])  # 21, 24 and 45 synthetic slices
def test_windows_lie_everywhere_in_an_interval(depth):
    made = np.concatenate([brightness(depth, seed)[0] for seed in range(12)])
    shares = np.bincount(made % FACTOR, minlength=FACTOR) / len(made)
    assert shares[0] == 0
    assert (shares[1:] > 0.2).all()


def test_the_place_does_not_tell_what_is_synthetic_in_thin_stacks():
    """Cones of two removed slices: a perfect method, whose slices no classifier may recognise."""
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    cases = {}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        radii = 0.3 + 0.15 * np.arange(5).reshape(5, 1, 1) + rng.normal(0, 0.02)
        truth = np.where(x**2 + y**2 < radii**2, 0.5 + 0.1 * rng.normal(size=(5, 40, 40)), 0)
        images = ImagePair(truth, truth, np.arange(5) % 2 > 0, 0.0, 1.0, {"": truth > 0})
        cases[str(seed)] = [describe_windows(images, truth > 0)]
    assert BY_NAME["c2st_in_plane"].compute(DescribedSet(cases)) < 0.75


def test_ellipses_need_two_axes(linear):
    kept = description(METRICS[0], "")
    cases = {who: [{kept: own}] for who, own in linear.cases.items()}
    training = {"t": [{kept: [own[:1, :, :2] for own in linear.cases["0"]]}]}
    table = ellipses({"linear": (cases, training)})
    assert set(table["plane"]) == {"reformatted"}  # of four windows; in plane there are two
    assert set(ellipses({"linear": (cases, {})})["plane"]) == {"in_plane", "reformatted"}


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

"""Samples: acquired slices stay, the seed decides, every voxel is completed once."""

from copy import deepcopy

import nibabel as nib
import numpy as np
import pytest
import torch

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer, learned_imputer
from slicefill.imputation.methods.probabilistic import Params, drawing, load
from slicefill.imputation.methods.probabilistic.features import (
    CANDIDATES,
    NEAR,
    describe_images,
    describe_labels,
)
from slicefill.imputation.methods.probabilistic.losses import UNKNOWN, label_error
from slicefill.imputation.methods.probabilistic.network import ProbabilisticNetwork
from slicefill.imputation.methods.probabilistic.params import STRIDE
from slicefill.imputation.methods.probabilistic.training import find_ids, long_enough, train
from slicefill.imputation.methods.probabilistic.windows import KnownVolumes, look
from slicefill.params import ImputationParams, WindowParams
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.training.fit import Run, Stateless, ignore
from slicefill.types import Case, Promise, Volume


class Memory:
    def __init__(self):
        self.state = None

    def load(self):
        return self.state

    def save(self, state):
        self.state = deepcopy(state)


@pytest.fixture(scope="module")
def checkpoint(params):
    """Weights at random, so that samples differ as much as they can."""
    own = params()
    torch.manual_seed(1)
    network = ProbabilisticNetwork(own.network, 3)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    return {
        "weights": network.state_dict(),
        "network": own.network.model_dump(),
        "ids": [1, 2, 3],
        "samples": 3,
        "spread_powers": (0.6, 0.3, 0.1, 0.7),
        "grain": (0.5, 0.7, 0.7),
    }


def impute(case, checkpoint, params, seed=0, **changes):
    values = {"count": 3, "hardware": {"accelerator": "cpu", "precision": "32-true"}, "seed": seed}
    imputation = ImputationParams(**values | changes)
    method = load(params, checkpoint, imputation)
    window = WindowParams(kind="fixed", low=0, high=1)
    imputer = Imputer("probabilistic", "probabilistic", method, window, "")
    return impute_case(case, imputer, imputation)


@pytest.fixture(scope="module")
def thin(make_phantom):
    axis = AnisotropizationParams(factor=4, axis="S", profile="point", fwhm=None)
    return subsample(make_phantom(3), axis)


@pytest.fixture(scope="module")
def imputed(thin, checkpoint, params):
    return impute(thin, checkpoint, params())


def test_acquired_slices_are_untouched_in_every_sample(thin, imputed):
    for name in ("sample_1", "sample_2", "sample_3"):
        assert np.array_equal(imputed.maps[name].stored[:, :, ::4], thin.image.stored)
        label = imputed.maps[name.replace("sample", "sample_label")]
        assert np.array_equal(label.stored[:, :, ::4], thin.label.stored)
    assert np.array_equal(imputed.image.stored[:, :, ::4], thin.image.stored)
    assert not imputed.maps["spread"].stored[:, :, ::4].any()


def test_samples_differ_and_the_image_is_their_mean(imputed):
    samples = np.stack([imputed.maps[f"sample_{n}"].stored for n in (1, 2, 3)])
    assert samples.std(axis=0)[:, :, 2].max() > 0.01
    above = (samples > 0).all(axis=0)  # what falls below the background is raised to it
    mean = samples.mean(axis=0)
    np.testing.assert_allclose(imputed.image.stored[above], mean[above], atol=1e-5)


def test_samples_are_as_far_apart_as_the_spread_says(thin, checkpoint, params):
    made = impute(thin, checkpoint, params(samples=40))
    samples = np.stack([made.maps[f"sample_{n}"].stored for n in range(1, 41)])
    spread = made.maps["spread"].intensities()
    where = (samples > 0).all(axis=0) & (np.arange(spread.shape[2]) % 4 > 0) & (spread < 0.9)
    assert where.sum() > 100
    ratio = samples.var(axis=0, ddof=1)[where] / np.square(spread[where])
    assert np.mean(ratio) == pytest.approx(1, abs=0.05)


def test_labels_are_among_those_of_the_scan(imputed, thin):
    for name in ("sample_label_1", "sample_label_3"):
        assert set(np.unique(imputed.maps[name].stored)) <= set(np.unique(thin.label.stored))
    assert imputed.maps["sample_label_1"].stored.dtype == thin.label.stored.dtype


def test_the_same_seed_gives_the_same_samples(thin, imputed, checkpoint, params):
    again, other = (impute(thin, checkpoint, params(), seed) for seed in (0, 1))
    for name in ("sample_1", "sample_2", "sample_label_1", "spread"):
        assert np.array_equal(again.maps[name].stored, imputed.maps[name].stored)
    assert not np.array_equal(other.maps["sample_1"].stored, imputed.maps["sample_1"].stored)


def test_the_number_of_samples_may_differ_from_that_of_training(thin, checkpoint, params):
    made = impute(thin, checkpoint, params(samples=2))
    assert "sample_2" in made.maps
    assert "sample_3" not in made.maps


def test_a_mirrored_file_gives_the_same_samples(thin, imputed, checkpoint, params):
    flip = nib.orientations.inv_ornt_aff([[0, 1], [1, 1], [2, -1]], thin.image.stored.shape)
    image, label = (
        one.with_stored(np.ascontiguousarray(one.stored[:, :, ::-1]), flip)
        for one in (thin.image, thin.label)
    )
    made = impute(Case(image, label), checkpoint, params())
    for name in ("sample_1", "sample_label_2", "spread"):
        assert np.array_equal(made.maps[name].stored[:, :, ::-1], imputed.maps[name].stored)


def test_labels_that_were_not_learned_from_are_not_sampled(thin, checkpoint, params):
    other = Case(thin.image, thin.label.with_stored(thin.label.stored * 7))
    made = impute(other, checkpoint, params())
    assert "sample_1" in made.maps
    assert "sample_label_1" not in made.maps
    assert set(np.unique(made.label.stored)) <= {0, 7, 14, 21}


def test_labels_that_were_not_learned_from_end_as_asked(thin, checkpoint, params):
    """Label 9 is on the first slice alone: by `latest` it goes on far, or hardly."""
    stored = np.zeros_like(thin.label.stored)
    stored[4:12, 4:12, 0] = 9
    other = Case(thin.image, thin.label.with_stored(stored))
    late, early = (
        impute(other, checkpoint, params(), label_ends={"latest": latest}).label.stored
        for latest in (1.0, 0.01)
    )
    assert (late == 9).sum() > (early == 9).sum()


def test_channels_share_the_draw(thin, checkpoint, params):
    both = np.repeat(thin.image.stored[..., None], 2, axis=3)
    made = impute(Case(thin.image.with_stored(both)), checkpoint, params())
    sample = made.maps["sample_1"].stored
    np.testing.assert_allclose(sample[..., 0], sample[..., 1], atol=1e-6)


def test_an_exact_grid_has_samples_too(thin, checkpoint, params):
    made = impute(thin, checkpoint, params(), count=None, target_spacing=1.7, exact=True)
    names = {"sample_1", "sample_label_1", "spread"}
    assert all(made.maps[name].stored.shape[2] == made.image.stored.shape[2] for name in names)


def test_without_a_label_none_is_made(thin, checkpoint, params):
    made = impute(Case(thin.image), checkpoint, params())
    assert made.label is None
    assert "sample_label_1" not in made.maps


@pytest.mark.parametrize("size", [(8, 16, 16), (68, 168, 400), (64, 160, 168)])
def test_tiles_complete_every_voxel_once(size):
    done = np.zeros(size, np.uint8)
    for tile in drawing._tiles(size):
        aligned = zip(tile.seen, STRIDE, strict=True)
        assert all(one.start % stride == one.stop % stride == 0 for one, stride in aligned)
        inside = zip(tile.inside, tile.kept, tile.seen, strict=True)
        assert all(i.start + seen.start == kept.start for i, kept, seen in inside)
        done[tile.kept] += 1
    assert (done == 1).all()


def test_features_of_acquired_slices_are_the_slices():
    slices = np.random.default_rng(0).random((4, 24, 20)).astype(np.float32)
    found = describe_images(slices, [0.25, 0.5, 0.75])
    assert found.shape == (6, 13, 24, 20)
    assert (found[:CANDIDATES, ::4] == slices).all()
    assert found[NEAR, :5, 0, 0].tolist() == [0, 0.5, 1, 0.5, 0]
    np.testing.assert_allclose(found[0, 1], 0.75 * slices[0] + 0.25 * slices[1], rtol=1e-5)


def test_outlines_of_labels_enclose_an_area_between_those_of_acquired_slices():
    """64 and 16 pixels: 40 half-way, and those that are as far from the outline as the last."""
    label = np.zeros((2, 16, 16), int)
    label[0, 4:12, 4:12] = label[1, 6:10, 6:10] = 5
    found = describe_labels(label, [5, 9], [0.5])
    assert (found[0, ::2] > 0).tolist() == (label == 5).tolist()
    assert 40 <= (found[0, 1] > 0).sum() < 48
    assert (found[1] == -1).all()


def test_windows_show_the_truth_where_slices_are_seen(phantoms, params):
    known = KnownVolumes(phantoms(range(2)), (1, 2, 3), params())
    windows = known.draw(np.random.default_rng(0), 6)
    seen = windows.features[:, NEAR, None] == 0
    assert torch.equal(windows.features[:, :1][seen], windows.image[seen])
    inside = windows.fields[:, 1] > 0
    assert torch.equal(inside, windows.label == 2)
    assert windows.image.shape == (6, 1, 8, 16, 16)


def test_a_case_without_a_label_map_teaches_no_label(make_phantom):
    slices = np.moveaxis(make_phantom(0).image.stored, 2, 0)
    known = look(slices, None, (1, 2), 4)
    assert (known.label == UNKNOWN).all()
    fields = torch.ones((1, 2, *known.label.shape[1:]), requires_grad=True)
    between = torch.from_numpy(known.features[NEAR] > 0)[None, None].float()
    own = label_error(fields, torch.from_numpy(known.label).long(), between)
    own.backward()
    assert own.item() == 0
    assert not fields.grad.any()


def test_more_samples_of_the_same_weights_are_another_imputation(checkpoint, params):
    known = {"window": {"kind": "fixed", "low": 0, "high": 1}, "kind": "probabilistic"}
    rule = ImputationParams(hardware={"accelerator": "cpu"})
    marks = {
        learned_imputer("probabilistic", checkpoint | known | more, rule).fingerprint
        for more in ({}, {}, {"samples": 4}, {"spread_powers": (1, 0, 0, 0)}, {"grain": (1, 1, 1)})
    }
    assert len(marks) == 4


def test_a_volume_of_too_few_slices_is_named():
    with pytest.raises(ValueError, match=r"scan_7: expected more than 4 slices, got 4: lower"):
        look(np.zeros((4, 8, 8), np.float32), None, (), 4, name="scan_7")


def test_training_leaves_short_cases_out_and_says_so(phantoms, make_phantom, params, caplog):
    cut = Promise(lambda: make_phantom(7, (32, 32, 7)), "short")
    kept = long_enough({**phantoms(range(1)), "short": cut}, params(), "train")
    assert set(kept) == set(phantoms(range(1)))
    assert "1 train case(s) of fewer than 8 slices are left out: short (7)" in caplog.text
    lower = params(windows={"factors": [2]})
    assert "short" in long_enough({"short": cut}, lower, "train")
    with pytest.raises(ValueError, match=r"8 slices or more, got short \(7\): lower prob"):
        long_enough({"short": cut}, params(), "train")


def test_a_training_that_was_killed_goes_on_to_the_same_weights(phantoms, params):
    parts = {"train": phantoms(range(1)), "validation": phantoms(range(2, 3))}
    short = params(windows={"factors": [4]}, optimisation={"steps_per_epoch": 2})
    whole = train(parts, short, Run(Stateless(), ignore))
    store = Memory()

    def die(values, epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(parts, short, Run(store, die))
    resumed = train(parts, short, Run(store, ignore))
    for name, weights in whole["weights"].items():
        assert torch.equal(weights, resumed["weights"][name])
    assert whole["ids"] == [1, 2, 3]
    assert whole["spread_powers"] == resumed["spread_powers"] != [1.0, 0.0, 0.0, 0.0]


def test_many_labels_are_left_to_the_rule(make_phantom, caplog):
    case = make_phantom(0)
    stored = np.arange(case.label.stored.size).reshape(case.label.stored.shape) % 40
    many = Case(case.image, Volume(stored.astype(np.uint8), case.label.header))

    assert find_ids({"a": Promise(lambda: many, "a")}) == ()
    assert "shape_matched" in caplog.text


def test_sizes_that_cannot_be_halved_are_refused(params):
    with pytest.raises(ValueError, match=r"multiples of \[4, 8, 8\], got \[6, 16, 16\]"):
        params(windows={"size": (6, 16, 16)})


def test_a_repetition_has_a_seed_of_its_own(params):
    assert isinstance(params().repeated(2), Params)
    assert params().repeated(2).optimisation.seed == 2

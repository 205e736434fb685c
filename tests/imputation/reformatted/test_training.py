"""Patches, the volumes of an epoch, and a training that is stopped and goes on."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.reformatted.beside import planes_beside
from slicefill.imputation.methods.reformatted.learner import PlaneLearner, linear
from slicefill.imputation.methods.reformatted.network import build_network
from slicefill.imputation.methods.reformatted.patches import (
    PHOTOGRAPHS,
    VolumePool,
    cut_batch,
    draw_batch,
    photographs,
)
from slicefill.imputation.methods.reformatted.training import train, training_fingerprint
from slicefill.training.fit import Run, ignore
from slicefill.training.hardware import launch_fabric


def with_patches(params, **changes):
    """Return parameters with other patches."""
    patches = params.patches.model_copy(update=changes)
    return params.model_copy(update={"patches": patches})


class Memory:
    """A store that forgets nothing."""

    def __init__(self):
        self.state = None

    def load(self):
        return self.state

    def save(self, state):
        self.state = deepcopy(state)


def test_the_truth_of_a_patch_lies_where_it_says():
    """In a ramp across rows linear interpolation is exact: 0 to 9 in steps of 1."""
    ramp = torch.arange(10.0)[None, None, :, None].expand(2, 3, 10, 5).contiguous()
    ramp[:, ::2] *= -1  # the planes beside
    batch = cut_batch(ramp, 3)
    assert batch.acquired[0, :, :, 0].tolist() == [[0, -3, -6, -9], [0, 3, 6, 9], [0, -3, -6, -9]]
    assert batch.truth.shape == (2, 3, 2, 5)
    assert batch.truth[0, :, :, 0].flatten().tolist() == [1, 2, 4, 5, 7, 8]
    torch.testing.assert_close(linear(batch), batch.truth)


def test_noise_is_added_to_acquired_rows_alone(params):
    plain, noisy = (with_patches(params(), noise=(stddev,)) for stddev in (0.0, 0.5))
    clean, seen = (draw_batch([], each, np.random.default_rng(0)) for each in (plain, noisy))
    assert torch.equal(clean.truth, seen.truth)
    assert (seen.acquired - clean.acquired).std().item() == pytest.approx(0.5, rel=0.1)


def test_patches_come_from_photographs_and_volumes_as_asked(params):
    volume = torch.zeros(26, 30, 30)
    shares = [
        draw_batch([volume], params(), np.random.default_rng(seed)).truth.flatten(1).std(1)
        for seed in range(30)
    ]
    flat = (torch.cat(shares) < 1e-3).float().mean().item()
    assert flat == pytest.approx(0.5, abs=0.15)


def test_photographs_are_there_without_a_download():
    assert len(photographs()) == len(PHOTOGRAPHS)
    for grey in photographs():
        assert min(grey.shape) > 100
        assert grey.mean().item() == pytest.approx(0, abs=1e-3)
        assert grey.std().item() == pytest.approx(1, abs=1e-3)


def test_a_volume_smaller_than_a_patch_is_enlarged(params):
    options = with_patches(params(), photographs=0.0)
    batch = draw_batch([torch.rand(5, 6, 7)], options, np.random.default_rng(0))
    assert batch.acquired.shape == (4, 3, 5, 24)


def test_planes_of_a_volume_lie_beside_each_other(params):
    """In a ramp across one kind of planes, one side has less and the other more."""
    rows, columns = torch.meshgrid(torch.arange(30.0), torch.arange(30.0), indexing="ij")
    options = with_patches(params(), photographs=0.0, noise=(0.0,))
    for volume in (rows.expand(26, 30, 30), columns.expand(26, 30, 30)):
        batch = draw_batch([volume], options, np.random.default_rng(1))
        before, own, after = batch.acquired.mean((2, 3)).unbind(1)
        assert ((own - before) * (after - own) > -1e-6).all()


def test_pictures_move_the_same_way_from_plane_to_plane():
    """A ramp that moves shows by how much: its mean is between the planes beside it."""
    ramp = torch.arange(40.0).repeat(30, 1)
    made = planes_beside(ramp, 2, 1.5, np.random.default_rng(3))
    assert made.shape == (5, 30, 40)
    assert torch.equal(made[2], ramp)
    inner = made[:, 10:-10, 10:-10]
    steps = inner.diff(dim=0)
    assert steps.abs().max() > 0.1
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=0.05, rtol=0)
    still = planes_beside(ramp, 1, 0.0, np.random.default_rng(3))
    assert torch.equal(still, ramp.expand(3, -1, -1))
    assert planes_beside(ramp, 0, 1.5, np.random.default_rng(3)).shape == (1, 30, 40)


def test_volumes_follow_from_the_epoch_and_come_again_after_the_last(data, params):
    going, fresh = VolumePool(data.training, params()), VolumePool(data.training, params())
    for epoch in (0, 1, 2):
        volumes = going.of_epoch(epoch)
    again = fresh.of_epoch(2)
    assert len(volumes) == 3
    assert all(torch.equal(a, b) for a, b in zip(volumes, again, strict=True))
    wrapped, first = going.of_epoch(3), fresh.of_epoch(0)  # volumes 3, 4, 0
    assert torch.equal(wrapped[2], first[0])


def test_a_stopped_training_ends_as_one_that_was_never_stopped(data, params):
    def stop(values, epoch):
        raise KeyboardInterrupt

    whole = train(data, params(), Run(Memory(), ignore))
    memory = Memory()
    first = Run(memory, ignore)
    interrupted = Run(memory, lambda values, epoch: stop(values, epoch) if epoch == 2 else None)
    with pytest.raises(KeyboardInterrupt):
        train(data, params(), interrupted)
    assert memory.state["epoch"] == 1
    resumed = train(data, params(), first)
    for name, weight in whole["weights"].items():
        assert torch.equal(weight, resumed["weights"][name]), name


def test_a_checkpoint_rebuilds_its_network(data, params):
    made = train(data, params(epochs=1), Run(Memory(), ignore))
    rebuilt = build_network(made).state_dict()
    assert all(torch.equal(weight, rebuilt[name]) for name, weight in made["weights"].items())
    assert made["epoch"] == 1


def test_the_fingerprint_is_that_of_data_and_numbers(data, params):
    own = training_fingerprint(data, params())
    assert training_fingerprint(data, params(learning_rate=3e-3)) != own
    assert training_fingerprint(type(data)(data.validation, data.training), params()) != own


def test_the_rate_rises_shortly_and_falls_to_a_fiftieth(data, params):
    options = params(warmup_steps=1, steps_per_epoch=10, epochs=2)
    learner = PlaneLearner(launch_fabric(options.hardware), data, options)
    rates = [learner.schedule()]
    for _ in range(2):
        learner.train_epoch(0)
        rates.append(learner.schedule())
    assert rates == pytest.approx([0.5, 0.51, 0.02])


def test_what_is_learned_beats_linear_interpolation(data, params):
    """A smooth field: 150 steps suffice."""
    options = params(steps_per_epoch=150, epochs=1, learning_rate=5e-3, average=0.9)
    learner = PlaneLearner(launch_fabric(options.hardware), data, options)
    before = learner.validate()["validation/gain"]
    learner.train_epoch(0)
    assert learner.validate()["validation/gain"] > max(before, 0) + 0.5

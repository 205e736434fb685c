"""Windows, the volumes of an epoch, and a training that is stopped and goes on."""

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.view_fusion.learner import FusionLearner
from slicefill.imputation.methods.view_fusion.model import load_fusion
from slicefill.imputation.methods.view_fusion.training import train, training_fingerprint
from slicefill.imputation.methods.view_fusion.windows import (
    VolumePool,
    cut_batch,
    draw_batch,
    read_volume,
)
from slicefill.simulation.procedural import procedural_case
from slicefill.training.fit import Run, ignore
from slicefill.training.hardware import launch_fabric
from slicefill.types import Promise


class Memory:
    """A store that forgets nothing."""

    def __init__(self):
        self.state = None

    def load(self):
        return self.state

    def save(self, state):
        self.state = state


class Clock:
    """A timer that says what it is told."""

    def __init__(self, spent):
        self._spent = spent

    def spent(self):
        return self._spent


def test_the_truth_of_a_window_lies_where_it_says():
    """In a ramp across slices linear interpolation is exact: 0 to 90 in steps of 10."""
    ramp = np.broadcast_to(np.linspace(0, 0.9, 10)[:, None, None, None], (10, 32, 32, 2))
    batch = cut_batch([ramp.astype(np.float32)] * 2, 3, np.random.default_rng(0))
    assert batch.stack.shape == (2, 1, 4, 32, 32)
    assert batch.fixed.shape == (6, 3, 32, 32)
    assert set(torch.round(3 * batch.t).tolist()) <= {1.0, 2.0}
    starts = torch.tensor([0.0, 0.3, 0.6]).repeat(2)
    torch.testing.assert_close(batch.truth[:, 0, 0, 0], starts + 0.3 * batch.t)
    torch.testing.assert_close(batch.fixed[:, :1], batch.truth)


def test_what_is_to_be_made_is_the_volume_without_noise(params):
    case = procedural_case(10002, 40, 0.0)
    volume = read_volume(Promise(lambda: case, "5"), params()).astype(np.float32)
    seen, wanted = np.moveaxis(volume, -1, 0)
    assert np.abs(seen - wanted).mean() > 0.01
    shown = np.moveaxis(case.maps["noiseless"].stored, 2, 0)
    assert np.corrcoef(wanted.ravel(), shown.ravel())[0, 1] > 0.999
    batch = cut_batch([np.stack([seen, wanted], -1)[:3, :32, :32]], 2, np.random.default_rng(0))
    assert np.array_equal(batch.stack[0, 0].numpy(), seen[:3:2, :32, :32])
    assert np.array_equal(batch.truth[0, 0].numpy(), wanted[1, :32, :32])


def test_windows_are_cut_within_volumes_and_fill_the_pixels_of_a_step(params):
    volumes = [np.full((26, 36, 34, 2), n / 4, np.float16) for n in range(4)]
    seen = set()
    for seed in range(12):
        batch = draw_batch(volumes, params().windows, np.random.default_rng(seed))
        crop = batch.stack.shape[-1]
        assert batch.stack.shape == (1024 // crop**2, 1, 4, crop, crop)
        seen |= {crop, *batch.truth.unique().tolist()}
    assert seen == {16, 32, 0.0, 0.25, 0.5, 0.75}


def test_slices_smaller_than_a_window_are_extended_by_their_edge(params):
    volume = np.zeros((26, 10, 12, 2), np.float16)
    volume[:, -1] = 1  # it fills the 6 and 22 rows that are missing
    batch = draw_batch([volume], params().windows, np.random.default_rng(0))
    crop = batch.stack.shape[-1]
    rows = (
        (batch.stack[0, 0, 0] == 1).all(dim=1).sum(),
        (batch.stack[0, 0, 0] == 1).all(dim=0).sum(),
    )
    assert int(max(rows)) == crop - 9


def test_volumes_follow_from_the_epoch_and_come_again_after_the_last(data, params):
    going, fresh = VolumePool(data.training, params()), VolumePool(data.training, params())
    for epoch in (0, 1, 2):
        volumes = going.of_epoch(epoch)
    again = fresh.of_epoch(2)
    assert len(volumes) == 3
    assert all(np.array_equal(a, b) for a, b in zip(volumes, again, strict=True))
    wrapped, first = going.of_epoch(3), fresh.of_epoch(0)  # volumes 3, 4, 0
    assert np.array_equal(wrapped[2], first[0])


def test_a_stopped_training_ends_as_one_that_was_never_stopped(data, params):
    whole = train(data, params(epochs=3), Run(Memory(), ignore))
    memory = Memory()
    train(data, params(epochs=1), Run(memory, ignore))
    resumed = train(data, params(epochs=3), Run(memory, ignore))
    assert memory.state["epoch"] == 3
    for name, weight in whole["weights"].items():
        assert torch.equal(weight, resumed["weights"][name]), name


def test_only_the_new_weights_learn(data, params):
    learner = FusionLearner(launch_fabric(params().hardware), data, params(), None)
    start = {name: weight.clone() for name, weight in learner.weights().items()}
    learner.train_epoch(0)
    same = {name: torch.equal(weight, start[name]) for name, weight in learner.weights().items()}
    assert all(same[name] for name in same if name.startswith("motion.") or name == "start")
    assert not any(same[name] for name in same if name.startswith(("volume.", "head.out")))


def test_a_checkpoint_rebuilds_its_network(data, params):
    made = train(data, params(epochs=1), Run(Memory(), ignore))
    rebuilt = load_fusion(made).state_dict()
    assert all(torch.equal(weight, rebuilt[name]) for name, weight in made["weights"].items())


def test_the_length_of_a_training_may_change_between_stretches(data, params):
    own = training_fingerprint(data, params())
    assert training_fingerprint(data, params(minutes=5.0, decay=0.5, epochs=9)) == own
    assert training_fingerprint(data, params(learning_rate=2e-3)) != own


@pytest.mark.parametrize(("spent", "factor"), [(0.0, 1.0), (0.75, 1.0), (0.875, 0.5), (1.0, 0.01)])
def test_the_rate_is_constant_and_falls_in_the_last_quarter(data, params, spent, factor):
    fabric = launch_fabric(params().hardware)
    learner = FusionLearner(fabric, data, params(minutes=1.0, warmup_steps=0), Clock(spent))
    assert learner.schedule(spent) == pytest.approx(factor)

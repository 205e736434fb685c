"""Training as a whole: it learns, it resumes to the bit, the critic takes part when it should."""

from functools import partial

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.super_resolution.infer import (
    SuperResolutionNetwork,
    impute_by_super_resolution,
    load_network,
    squared_error,
    validate,
)
from slicefill.imputation.methods.super_resolution.learner import SuperResolutionLearner
from slicefill.imputation.methods.super_resolution.pairs import StackCache
from slicefill.imputation.methods.super_resolution.training import (
    network_fingerprint,
    train_network,
)
from slicefill.training.fit import Run
from slicefill.types import Promise, Stack

from ...states import MemoryStore, equal

KINDS = ["edsr", "rcan", "esrgan"]


def run(store=None, kill_in=None, seen=None):
    def report(values, epoch):
        if seen is not None:
            seen.append(dict(values))
        if epoch == kill_in:
            raise KeyboardInterrupt

    return Run(store or MemoryStore(), report)


@pytest.fixture
def data(waves):
    return waves(2), waves(1, first=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kill_in", [1, 3])
def test_a_killed_run_ends_as_an_uninterrupted_one(kind, kill_in, data, params):
    made = params(kind, optimisation={"epochs": 3, "adversarial_epochs": 1})
    whole, store = MemoryStore(), MemoryStore()
    expected = train_network(*data, made, run(whole))
    with pytest.raises(KeyboardInterrupt):
        train_network(*data, made, run(store, kill_in))  # before the epoch is saved
    assert equal(train_network(*data, made, run(store)), expected)
    assert equal(store.load(), whole.load())


def test_a_finished_run_is_not_repeated(data, params):
    store, seen = MemoryStore(), []
    first = train_network(*data, params(), run(store))
    assert equal(train_network(*data, params(), run(store, seen=seen)), first)
    assert seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_plain_and_says_what_it_is(kind, data, params):
    checkpoint = train_network(*data, params(kind), run())
    store = MemoryStore()
    store.save(checkpoint)  # reading it back refuses anything but tensors and plain values
    assert equal(store.load(), checkpoint)
    assert checkpoint["kind"] == "super_resolution"
    assert (checkpoint["channels"], checkpoint["factor"]) == (1, 3)
    assert checkpoint["network"]["kind"] == kind
    assert checkpoint["fingerprint"] == network_fingerprint(*data, params(kind))
    psnr = {r["epoch"]: r["value"] for r in checkpoint["history"] if r["term"] == "validation/psnr"}
    assert checkpoint["validation"]["psnr"] == psnr[checkpoint["epoch"]]


def test_the_best_epoch_is_kept_but_of_adversarial_training_the_last(data, params):
    for kind, adversarial, last in (("edsr", 2, False), ("esrgan", 0, False), ("esrgan", 2, True)):
        # so large a rate that epochs after the first make it worse
        made = params(kind, optimisation={"adversarial_epochs": adversarial, "learning_rate": 0.3})
        checkpoint = train_network(*data, made, run())
        psnr = {
            r["epoch"]: r["value"] for r in checkpoint["history"] if r["term"] == "validation/psnr"
        }
        assert len(psnr) == (4 if last else 2)
        assert checkpoint["epoch"] == (4 if last else max(psnr, key=psnr.get))


def test_the_learning_rate_is_halved_at_half_of_the_l1_epochs(data, params, fabric):
    made = params("esrgan", optimisation={"epochs": 4, "steps_per_epoch": 1})
    learner = start(fabric, data, made)
    rates = []
    for epoch in range(6):
        learner.train_epoch(epoch)
        rates.append([side.optimiser.param_groups[0]["lr"] for side in learner.sides.values()])
    assert rates == [[1e-3, 1e-3]] * 2 + [[5e-4, 5e-4]] * 4


def start(fabric, data, made):
    training, validation = (StackCache(cases, made) for cases in data)
    return SuperResolutionLearner(fabric, training, validation, made)


def snapshot(learner):
    return {
        name: torch.cat([p.detach().flatten().clone() for p in side.network.parameters()])
        for name, side in learner.sides.items()
    }


def test_the_critic_rests_on_l1_and_learns_together_with_the_generator_after(data, params, fabric):
    learner = start(fabric, data, params("esrgan", optimisation={"steps_per_epoch": 1}))
    before = snapshot(learner)
    on_l1 = learner.train_epoch(0)
    middle = snapshot(learner)
    against = learner.train_epoch(2)
    after = snapshot(learner)
    assert set(on_l1) == {"train/pixel"}
    assert set(against) == {"train/weighted/pixel", "train/weighted/adversarial", "critic/loss"}
    assert torch.equal(before["critic"], middle["critic"])
    assert not torch.equal(before["generator"], middle["generator"])
    for name in ("critic", "generator"):
        assert not torch.equal(middle[name], after[name])


def test_the_critic_learns_to_tell_and_the_generator_is_told_by_it(data, params, fabric):
    """A generator that stands still cannot answer: it is told apart better and better."""
    made = params("esrgan", optimisation={"steps_per_epoch": 25, "adversarial": 1.0, "batch": 4})
    learner = start(fabric, data, made)
    learner.sides["generator"].update = lambda fabric, loss: None
    first, *_, last = (learner.train_epoch(epoch) for epoch in (2, 3, 4))
    assert last["critic/loss"] < 0.8 * first["critic/loss"]
    assert last["train/weighted/adversarial"] > 1.2 * first["train/weighted/adversarial"]


def test_edsr_and_rcan_have_no_critic(data, params, fabric):
    for kind in ("edsr", "rcan"):
        assert set(start(fabric, data, params(kind)).sides) == {"generator"}


def test_a_perceptual_term_without_weights_stops_before_training(data, params, tmp_path):
    nowhere = str(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="perceptual"):
        train_network(*data, params("esrgan", perceptual=nowhere), run())
    train_network(*data, params("edsr", perceptual=nowhere), run())  # needs none


def test_thick_scans_hold_no_pairs(data, params):
    with pytest.raises(ValueError, match=r"super_resolution\.factor: expected 2 or more"):
        train_network(*data, params(factor=1), run())


def test_the_fingerprint_depends_on_all_that_the_network_does(data, params):
    training, validation = data
    made = [
        network_fingerprint(training, validation, params("edsr")),
        network_fingerprint(training, validation, params("rcan")),
        network_fingerprint(validation, training, params("edsr")),
        network_fingerprint(training, validation, params("edsr", factor=2)),
        network_fingerprint(training, validation, params("edsr", optimisation={"batch": 3})),
        network_fingerprint({"case0": Promise(dict, "x")}, validation, params("edsr")),
    ]
    assert len(set(made)) == len(made)


class Constant(torch.nn.Module):
    """Repeats rows and adds 0.1 to all but the acquired."""

    def forward(self, slices):
        made = slices.repeat_interleave(3, dim=2) + 0.1
        made[:, :, ::3] += 5
        return made


def test_only_bracketed_rows_that_were_not_acquired_are_scored(fabric, isotropic, params):
    """A case of 8 slices, ×3: acquired are 0, 3, 6; slice 7 is not bracketed. 0.01 is 20 dB."""
    slices = np.full((8, 1, 6, 40), 0.5, np.float32)
    slices[7] = 0.9
    made = params()
    stacks = StackCache({"a": Promise(lambda: isotropic(slices), "a")}, made)
    model = SuperResolutionNetwork(Constant(), 1, 3, fabric, 1000)
    assert squared_error(model, slices) == pytest.approx(0.01, rel=1e-5)
    assert validate(model, stacks)["validation/psnr"] == pytest.approx(20, abs=1e-3)


def test_a_tiny_edsr_beats_linear_interpolation_on_waves(waves, params, fabric):
    shape = {"kind": "edsr", "width": 16, "blocks": 2, "groups": 1, "residual_scale": 1.0}
    made = params(
        network=shape,
        optimisation={
            "epochs": 6,
            "steps_per_epoch": 40,
            "batch": 8,
            "patch": (6, 12),
            "learning_rate": 3e-3,
        },
    )
    held_out = waves(1, first=2)
    checkpoint = train_network(waves(2), held_out, made, run())
    true = StackCache(held_out, made)["case2"]
    stack = Stack(true[::3].copy(), np.array([[0.0, 1.0]]))
    engine = load_network(checkpoint, fabric, 100_000)
    removed = true[:24].reshape(8, 3, *true.shape[1:])[:, 1:]
    errors = {
        name: np.abs(method(stack, [1 / 3, 2 / 3]).image - removed).mean()
        for name, method in {
            "linear": partial(impute_classically, "linear"),
            "edsr": lambda *given: impute_by_super_resolution(engine, *given),
        }.items()
    }
    assert errors["edsr"] < 0.6 * errors["linear"]

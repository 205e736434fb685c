"""Joint training: weight 0 is real data alone, to the bit; every source has its way in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.engines.joint.network import Entrance, JointNetwork
from slicefill.segmentation.engines.joint.sources import Joint, acquired_only, synthetic_only
from slicefill.segmentation.interface import PatchBatch, SegmentationData, Setting
from slicefill.segmentation.objectives import dice_ce, whole
from slicefill.segmentation.scans import Scan
from slicefill.training.fit import Run, Stateless, ignore
from slicefill.types import Lazy

DESIGN = {"dims": 2, "channels": 2, "classes": 3, "width": 4, "dropout": 0.0, "patch": [32, 32]}
FULL = DESIGN | {"sources": 2, "branches": True, "joint_labels": True}


def make_scan(seed):
    """A disc of class 7; slices 0, 3 and 6 are acquired, the others brighter."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    disc = np.hypot(rows - 16, columns - rng.uniform(12, 20)) < rng.uniform(5, 9)
    label = np.where(disc, 7, 0)[None].repeat(7, axis=0)
    acquired = np.arange(7) % 3 == 0
    image = 0.2 + 0.5 * (label > 0) + 0.05 * rng.standard_normal(label.shape)
    image[~acquired] += 0.2
    weight = np.ones(label.shape, np.float32)
    return Scan(image[:, None].astype(np.float32), label, weight, acquired, np.ones(3), 0)


def promise(scan, name="a"):
    return Lazy(lambda: scan, name)


@pytest.fixture(scope="module")
def train(configuration):
    """Train a tiny engine of an entry on two scans; return its checkpoint."""
    values = configuration("tiny")["parameters"]
    shared = dict(values["segmentation"])
    shared["optimisation"] |= {"batch": 4, "epochs": 2, "steps_per_epoch": 2}
    shared["hardware"] = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    shared["label_names"] = {0: "background", 7: "disc"}

    def run(entry, real=False):
        entry = {"width": 4, "patch": [32, 32], **entry}
        params = SegmentationParams(**shared | {"engines": {"it": entry}})
        engine = find_engine("it", params)
        scans = {str(seed): promise(make_scan(seed), str(seed)) for seed in (1, 2)}
        if real:
            scans = {name: acquired_only(scan) for name, scan in scans.items()}
        data = SegmentationData(scans, {"v": promise(make_scan(3), "v")}, (0, 7))
        setting = Setting(params, AugmentationParams(**values["augmentation"]), 0)
        made = engine.module.train(data, engine.params, setting, Run(Stateless(), ignore))
        predictor = engine.module.load(made, params)
        return made, predictor(make_scan(4))

    return run


def joint(weight, full=False):
    switches = {"branches": full, "joint_labels": full}
    return {"kind": "joint", "auxiliary_weight": weight, **switches}


def test_weight_0_is_training_on_acquired_slices_alone_to_the_bit(train):
    made, found = train(joint(0.0))
    real, expected = train({"kind": "unet2d"}, real=True)
    plain = {name.removeprefix("network."): one for name, one in made["weights"].items()}
    assert plain.keys() == real["weights"].keys()
    assert all(torch.equal(plain[name], one) for name, one in real["weights"].items())
    assert np.array_equal(found, expected)


def test_another_weight_makes_another_network_of_the_same_acquired_patches(train):
    zero, other = train(joint(0.0))[0], train(joint(1.0))[0]
    assert not all(
        torch.equal(one, other["weights"][name]) for name, one in zero["weights"].items()
    )
    assert {row["term"] for row in other["history"]} >= {"train/auxiliary", "train/supervised"}


def test_the_whole_of_it_trains_and_predicts_the_classes_of_acquired_slices(train):
    made, found = train(joint(0.05, full=True))
    assert found.shape == (2, 7, 32, 32)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    assert made["design"]["joint_labels"]


def test_sources_divide_a_scan():
    scan = make_scan(0)
    real, made = (each(promise(scan)).make() for each in (acquired_only, synthetic_only))
    assert real.acquired.all()
    assert len(real.image) == 3
    assert real.spacing.tolist() == [3, 1, 1]  # as far apart as they were acquired
    assert not made.acquired.any()
    assert len(made.image) == 4
    assert np.array_equal(real.image, scan.image[::3])
    assert len({one(promise(scan)).fingerprint for one in (acquired_only, synthetic_only)}) == 2


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 3, (2, 1, 32, 32), generator=generator)
    image = torch.rand(2, 2, 32, 32, generator=generator)
    return PatchBatch(image, label, torch.ones(label.shape))


def test_terms_are_the_losses_of_both_sources_the_other_weighted():
    network = JointNetwork(FULL)
    objective = Joint(lambda _: batch(1), lambda _: batch(2), whole, 0.05, 2, 0)
    terms = objective.terms(network, 3, np.random.default_rng(0))
    logits = network(torch.cat([batch(1).image, batch(2).image]), 2)
    other = batch(2)
    label = torch.where(other.label > 0, other.label + 2, 0)  # classes 3 and 4 of five
    expected = 0.05 * dice_ce(logits[2:], label, other.weight)
    torch.testing.assert_close(terms["auxiliary"], expected)
    own = dice_ce(logits[:2], batch(1).label, batch(1).weight)
    torch.testing.assert_close(terms["supervised"], own)


def test_what_is_drawn_of_the_other_source_leaves_the_first_as_it_is():
    seen = []

    def draw(rng):
        seen.append(rng.random())
        return batch(1)

    rng = np.random.default_rng(0)
    objective = Joint(draw, lambda other: (other.random(99), batch(2))[1], whole, 1.0, 2, 0)
    for step in range(2):
        objective.terms(JointNetwork(FULL), step, rng)
    assert seen == np.random.default_rng(0).random(2).tolist()


def test_an_entrance_learns_from_its_own_source_alone():
    network = JointNetwork(FULL)
    network(batch(1).image, 2).square().sum().backward()
    first, second = network.entrances
    assert first.mix.weight.grad.abs().sum() > 0
    assert second.mix.weight.grad is None or not second.mix.weight.grad.any()


def test_in_evaluation_the_classes_are_those_of_acquired_slices():
    network = JointNetwork(FULL)
    assert network(batch(1).image).shape[1] == 5
    assert network.eval()(batch(1).image).shape[1] == 3


def test_attention_between_channels_by_hand():
    entrance = Entrance(1, 2)
    with torch.no_grad():
        entrance.mix.weight[:] = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
        entrance.mix.bias[:] = 0
    found = entrance(torch.ones(1, 1, 4, 4))
    likeness = torch.tensor([[1.0, 2.0], [2.0, 4.0]]).softmax(-1)
    expected = torch.tensor([1.0, 2.0]) + likeness.T @ torch.tensor([1.0, 2.0])
    torch.testing.assert_close(found[0, :, 0, 0], expected)


def test_without_any_synthetic_slice_the_remedy_is_told(train):
    with pytest.raises(ValueError, match=r"got acquired ones alone: name the method"):
        train(joint(0.5), real=True)


def test_a_scan_without_synthetic_slices_teaches_nothing():
    alone = replace(make_scan(0), acquired=np.ones(7, bool))
    assert not synthetic_only(promise(alone)).make().weight.any()

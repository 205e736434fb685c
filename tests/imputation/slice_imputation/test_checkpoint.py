"""Checkpoints: tensors and plain values that rebuild the networks exactly."""

import pytest
import torch

from slicefill import __version__
from slicefill.imputation.methods.slice_imputation.checkpoint import (
    best_checkpoint,
    load_critics,
    load_model,
    load_params,
    weights_fingerprint,
)
from slicefill.imputation.methods.slice_imputation.model import Pair
from slicefill.imputation.methods.slice_imputation.state import start_training

SCORES = {"validation/psnr": 30.0, "validation/ssim": 0.9}


@pytest.fixture
def make(fabric, params, tmp_path):
    """Train nothing, keep the stirred weights, and send the checkpoint through a file."""

    def make_checkpoint(channels=1, **changes):
        made = params(**changes)
        training = start_training(fabric, channels, made)
        with torch.no_grad():
            for weight in training.synthesis.network.parameters():
                weight.normal_(std=0.1)
        training.keep_best(SCORES)
        training.log(SCORES)
        path = tmp_path / "model.pt"
        torch.save(best_checkpoint(training, made, "abc"), path)
        return training, torch.load(path, weights_only=True)

    return make_checkpoint


def assert_same(network, other):
    """All weights are the same to the bit."""
    weights, others = network.state_dict(), other.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("variant", ["paper", "refined"])
def test_a_model_comes_back_from_a_file(variant, make):
    training, checkpoint = make(2, variant=variant)
    model = load_model(checkpoint)
    first, last = torch.rand(2, 1, 2, 13, 17)
    t = torch.tensor([0.5])
    assert not model.training
    with torch.no_grad():
        flows, (motion,) = model(Pair(first, last), t)
        before, (same,) = training.synthesis.network.eval()(Pair(first, last), t)
    assert flows.forward.abs().max() > 0.01
    assert torch.allclose(flows.forward, before.forward, atol=1e-5)  # in another memory format
    assert torch.allclose(motion.blend(first, last), same.blend(first, last), atol=1e-5)
    assert_same(model, training.synthesis.network)


def test_critics_come_back_if_the_variant_had_any(make):
    training, checkpoint = make()
    critics = load_critics(checkpoint)
    assert not critics.training
    assert_same(critics, training.critics.network)
    assert load_critics(make(variant="plain")[1]) is None


def test_parameters_and_provenance_come_back(make, params):
    _, checkpoint = make(variant="iia")
    assert load_params(checkpoint) == params(variant="iia")
    assert checkpoint["fingerprint"] == "abc"
    assert checkpoint["version"] == __version__
    assert checkpoint["channels"] == 1
    assert checkpoint["validation"] == {"psnr": 30.0, "ssim": 0.9}
    assert {row["term"]: row["value"] for row in checkpoint["history"]} == SCORES


def test_the_best_weights_stay_when_training_goes_on(make):
    training, _ = make()
    best = {name: value.clone() for name, value in training.best["weights"]["synthesis"].items()}
    for score in (29.0, 30.0, float("nan")):  # worse, as good, broken
        with torch.no_grad():
            training.synthesis.network.flow_network.out.weight.add_(1)
        training.keep_best({"validation/psnr": score, "validation/ssim": 0.5})
    kept = training.best["weights"]["synthesis"]
    assert all(torch.equal(value, kept[name]) for name, value in best.items())
    training.keep_best({"validation/psnr": 31.0, "validation/ssim": 0.5})
    changed = training.best["weights"]["synthesis"]["flow_network.out.weight"]
    assert not torch.equal(changed, best["flow_network.out.weight"])


def test_the_digest_is_of_names_and_numbers():
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(2, 3, 4, 4)}
    digest = weights_fingerprint(weights)
    nudged = {**weights, "a": torch.nextafter(weights["a"], torch.tensor(9.0))}
    renamed = {"aa": weights["a"], "b": weights["b"]}
    turned = {
        "b": weights["b"].to(memory_format=torch.channels_last),
        "a": weights["a"].clone(),
    }
    assert len(digest) == 64
    assert digest == weights_fingerprint(turned)  # neither the order nor the memory format counts
    assert len({digest, weights_fingerprint(nudged), weights_fingerprint(renamed)}) == 3

"""Checkpoints: tensors and plain values that rebuild the networks exactly."""

import pytest
import torch

from slicefill import __version__
from slicefill.fingerprint import weights_fingerprint
from slicefill.imputation.methods.slice_imputation.critics import Critics, load_critics
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.imputation.methods.slice_imputation.training import make_checkpoint
from slicefill.training.fit import Progress

SCORES = {"validation/psnr": 30.0, "validation/ssim": 0.9}


class Stirred:
    """Networks whose weights are random numbers (`Learner.weights`)."""

    def __init__(self, channels, params):
        torch.manual_seed(0)
        self.synthesis = SynthesisModel(channels, params.network, params.parts)
        with torch.no_grad():
            for weight in self.synthesis.parameters():
                weight.normal_(std=0.1)
        self.critics = None
        if params.parts.global_discriminator:
            self.critics = Critics(channels, params.critic_width, params.parts)

    def weights(self):
        critics = {} if self.critics is None else {"critics": self.critics.state_dict()}
        return {"synthesis": self.synthesis.state_dict(), **critics}


@pytest.fixture
def make(params, tmp_path):
    """Train nothing, keep the stirred weights, and send the checkpoint through a file."""

    def make_one(channels=1, **changes):
        made, progress = params(**changes), Progress()
        stirred = Stirred(channels, made)
        progress.add(SCORES, 30.0, stirred)
        path = tmp_path / "model.pt"
        torch.save(make_checkpoint(progress, channels, made, "abc"), path)
        return stirred, torch.load(path, weights_only=True)

    return make_one


def assert_same(network, other):
    """All weights are the same to the bit."""
    weights, others = network.state_dict(), other.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("variant", ["paper", "refined"])
def test_a_model_comes_back_from_a_file(variant, make):
    stirred, checkpoint = make(2, variant=variant)
    model = load_model(checkpoint)
    first, last = torch.rand(2, 1, 2, 13, 17)
    t = torch.tensor([0.5])
    assert not model.training
    with torch.no_grad():
        flows, (motion,) = model(Pair(first, last), t)
        before, (same,) = stirred.synthesis.eval()(Pair(first, last), t)
    assert flows.forward.abs().max() > 0.01
    assert torch.equal(flows.forward, before.forward)
    assert torch.equal(motion.render(first, last), same.render(first, last))
    assert_same(model, stirred.synthesis)


def test_critics_come_back_if_there_were_any(make):
    stirred, checkpoint = make()
    critics = load_critics(checkpoint)
    assert not critics.training
    assert_same(critics, stirred.critics)
    assert load_critics(make(variant="plain")[1]) is None


def test_a_checkpoint_has_what_it_needs_to_run_and_where_it_comes_from(make, params):
    _, checkpoint = make(variant="iia")
    made = params(variant="iia")
    assert checkpoint["network"] == made.network.model_dump()
    assert checkpoint["parts"] == made.parts.model_dump()
    assert checkpoint["window"] == made.window.model_dump()
    assert checkpoint["fingerprint"] == "abc"
    assert checkpoint["version"] == __version__
    assert checkpoint["channels"] == 1
    assert checkpoint["validation"] == {"psnr": 30.0, "ssim": 0.9}
    assert {row["term"]: row["value"] for row in checkpoint["history"]} == SCORES


def test_a_checkpoint_does_not_depend_on_the_section_that_trained_it(make):
    """λ, optimisation and hardware may get other fields: old weights still load."""
    _, checkpoint = make()
    assert not {"params", "weights.test", "optimisation", "groups", "hardware"} & set(checkpoint)


def test_the_best_weights_stay_when_training_goes_on(params):
    stirred, progress = Stirred(1, params()), Progress()
    progress.add(SCORES, 30.0, stirred)
    best = {name: w.clone() for name, w in progress.best["weights"]["synthesis"].items()}
    for score in (29.0, 30.0, float("nan")):  # worse, as good, broken
        with torch.no_grad():
            stirred.synthesis.flow_network.out.weight.add_(1)
        progress.add({"validation/psnr": score}, score, stirred)
    kept = progress.best["weights"]["synthesis"]
    assert all(torch.equal(value, kept[name]) for name, value in best.items())
    progress.add({"validation/psnr": 31.0}, 31.0, stirred)
    changed = progress.best["weights"]["synthesis"]["flow_network.out.weight"]
    assert not torch.equal(changed, best["flow_network.out.weight"])
    assert progress.best["values"] == {"validation/psnr": 31.0}


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

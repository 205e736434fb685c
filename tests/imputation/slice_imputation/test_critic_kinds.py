"""Critics of more than single slices: what they see, what they cost, that they learn."""

from math import exp, log
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from slicefill.imputation.methods.slice_imputation.critic_kind import fooling_loss, judging_loss
from slicefill.imputation.methods.slice_imputation.critics import KINDS, Critics, load_critics
from slicefill.imputation.methods.slice_imputation.losses import TERMS
from slicefill.imputation.methods.slice_imputation.params import Parts
from slicefill.imputation.methods.slice_imputation.slab_critic import SlabCritic
from slicefill.imputation.methods.slice_imputation.synthesis import GroupBatch

ALONE = Parts(global_discriminator=False, local_discriminator=False)
HEAD = {**ALONE.model_dump(), "refinement": True, "residual": 0.2, "frequency": 0.5}


def cost(logit):
    """-log σ(logit)."""
    return log(1 + exp(-logit))


def textured(seed, depth=9, size=24):
    noise = np.random.default_rng(seed).random((depth, size, size))
    smooth = gaussian_filter(noise, 0.7).astype(np.float32)
    return 0.5 + (smooth - smooth.mean()) / smooth.std() / 4


def test_costs_by_hand():
    real, made = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -1.0])
    plain = (cost(1) + cost(3)) / 2 + (cost(0) + cost(1)) / 2
    assert judging_loss(real, made, False).item() == pytest.approx(plain)
    assert fooling_loss(None, made).item() == pytest.approx((cost(0) + cost(-1)) / 2)
    # against the means 2 of the real ones and -1/2 of the others
    right = ((cost(1.5) + cost(3.5)) / 2 + (cost(2) + cost(3)) / 2) / 2
    wrong = ((cost(-1.5) + cost(-3.5)) / 2 + (cost(-2) + cost(-3)) / 2) / 2
    assert judging_loss(real, made, True).item() == pytest.approx(right)
    assert fooling_loss(real, made).item() == pytest.approx(wrong)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_a_term_that_pulls_only_with_its_critic(name):
    batch = GroupBatch(torch.rand(2, 3, 1, 16, 16), torch.zeros(2, 1))
    slices = torch.rand(2, 1, 1, 16, 16, requires_grad=True)
    seen = {"batch": batch, "slices": slices, "real": batch.inner, "motions": [], "fine": None}
    made = SimpleNamespace(**seen, critics=None)
    assert TERMS[name](made) is None


@pytest.mark.parametrize("inner", [1, 3])
def test_a_slab_is_the_inner_slices_between_both_acquired_ones(inner):
    slices = torch.rand(2, inner + 2, 1, 16, 16)
    made = SimpleNamespace(
        batch=GroupBatch(slices, torch.zeros(2, inner)),
        real=slices[:, 1:-1],
        slices=torch.rand(2, inner, 1, 16, 16),
    )
    kind = KINDS["adv_slab"]
    assert torch.equal(kind.real(made), slices.transpose(1, 2))
    seen = kind.synthetic(made)
    assert seen.shape == (2, 1, inner + 2, 16, 16)
    assert torch.equal(seen[:, :, [0, -1]], slices.transpose(1, 2)[:, :, [0, -1]])
    assert torch.equal(seen[:, 0, 1:-1], made.slices[:, :, 0])
    assert SlabCritic(1, 4)(seen).shape == (2,)


def test_a_slab_critic_tells_blurred_slabs_from_real_ones_that_it_has_not_seen():
    torch.manual_seed(0)
    critic = SlabCritic(1, 4)
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3)

    def slabs(seeds):
        volumes = [textured(seed) for seed in seeds]
        pairs = [(v, gaussian_filter1d(v, 1.5, axis=0)) for v in volumes]
        return (torch.from_numpy(np.stack(part))[:, None] for part in zip(*pairs, strict=True))

    for step in range(40):
        real, blurred = slabs(range(6 * step, 6 * step + 6))
        loss = judging_loss(critic(real), critic(blurred), relativistic=False)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    real, blurred = slabs(range(1000, 1016))
    higher = critic(real)[:, None] > critic(blurred)
    assert higher.float().mean() > 0.95  # the area under the ROC curve


def test_further_critics_come_back_from_a_checkpoint():
    critics = Critics(1, 4, ALONE, KINDS)
    checkpoint = {"channels": 1, "critic_width": 4, "parts": ALONE.model_dump()}
    loaded = load_critics({**checkpoint, "critics": critics.state_dict()})
    assert loaded.further.keys() == KINDS.keys()
    for name, weight in critics.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])


def test_further_critics_rest_while_the_classifier_learns_apart():
    critics = Critics(1, 4, Parts(classifier="pretrained"), ["adv_slab"])
    critics.begin_stage(apart=True)
    assert not any(weight.requires_grad for weight in critics.further.parameters())
    critics.begin_stage(apart=False)
    assert all(weight.requires_grad for weight in critics.further.parameters())


def test_the_last_epoch_is_kept_against_any_critic(params):
    plain = params(variant="plain", weights={"test": {"rec": 1.0}})
    assert not plain.keeps_last
    assert not plain.adversarial
    for name in KINDS:
        against = params(parts=HEAD, weights={"test": {"rec": 1.0, name: 0.01}})
        assert against.keeps_last
        assert against.adversarial

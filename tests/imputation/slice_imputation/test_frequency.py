"""High frequencies apart: the head, its kernel, the target, and what is supervised."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from slicefill.imputation.methods.slice_imputation.frequency import (
    FactorisedKernel,
    low_pass,
    synthetic_high,
)
from slicefill.imputation.methods.slice_imputation.groups import (
    draw_groups,
    load_batch,
    summarise_views,
)
from slicefill.imputation.methods.slice_imputation.losses import high_frequencies
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.params import Parts
from slicefill.imputation.methods.slice_imputation.synthesis import synthesise
from slicefill.imputation.methods.slice_imputation.views import ViewCache, cut_views

HEAD = {
    "tp_smooth": False,
    "global_discriminator": False,
    "local_discriminator": False,
    "refinement": True,
    "residual": 0.2,
    "frequency": 0.5,
}
ASKED = {"test": {"rec": 1.0, "high": 1.0, "adv_high": 0.001}}


@pytest.fixture
def asked(params):
    return params(parts=HEAD, weights=ASKED)


@pytest.fixture
def batch(asked, discs):
    """A batch of groups of discs."""
    cache = ViewCache(discs(2), "auto", asked)
    rng = np.random.default_rng(0)
    groups = draw_groups(summarise_views(cache, ["case0", "case1"]), asked.groups, 12, rng)
    same = [group for group in groups if group.inner == 1][:4]
    return load_batch(same, cache, asked.groups, rng)


def stirred(given):
    """A network whose last layers do not start at zero."""
    torch.manual_seed(0)
    network = SynthesisModel(1, given.network, given.parts)
    for layer in (network.refinement.low, network.refinement.high, network.refinement.unet.out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    return network


def test_the_factorised_kernel_of_the_paper_has_its_number_of_weights():
    kernel = FactorisedKernel(32, 13, axes=3)
    weights = [w for name, w in kernel.named_parameters() if w.ndim > 1]
    assert sum(w.numel() for w in weights) == 119_808


@pytest.mark.parametrize("axes", [2, 3])
def test_every_chain_visits_every_axis_and_reaches_the_whole_kernel(axes):
    kernel = FactorisedKernel(2, 5, axes)
    shape = [1, 2, *[11] * axes]
    for chain in kernel.chains:
        convolutions = [layer for layer in chain if hasattr(layer, "kernel_size")]
        seen = torch.zeros(shape, requires_grad=True)
        out = seen
        for convolution in convolutions:
            torch.nn.init.ones_(convolution.weight)
            out = convolution(out)
        assert out.shape == seen.shape
        out[(0, 0, *[5] * axes)].backward()
        reached = seen.grad[0, 0].nonzero()
        assert len(reached) == 5**axes
        assert (reached.min(0).values == 3).all()
        assert (reached.max(0).values == 7).all()
    assert len(kernel.chains) == axes


def test_the_low_pass_is_that_of_scipy_for_every_sample(seeded):
    slices = torch.rand(2, 3, 1, 20, 24, generator=seeded)
    made = low_pass(slices, torch.tensor([1.0, 2.5]))
    for k, sigma in enumerate((1.0, 2.5)):
        reference = gaussian_filter(
            slices[k, :, 0].numpy(), (0, sigma, sigma), mode="nearest", radius=(0, 8, 8)
        )
        assert made[k, :, 0].numpy() == pytest.approx(reference, abs=1e-5)


def test_the_target_is_of_the_whole_volume_and_its_cut_off_that_of_the_interval(asked, discs):
    views = cut_views(discs(1)["case0"].make(), "auto", asked)
    rows = views["rows"]
    assert rows.sigma == 0.5 * 4  # pixels: half of an interval of four
    low = gaussian_filter(rows.slices[:, 0], 2.0, mode="nearest")
    assert rows.high[:, 0] == pytest.approx(rows.slices[:, 0] - low, abs=1e-6)
    across = views["through_plane"]
    low = gaussian_filter(across.slices[:, 0], (0.5, 2, 2), mode="nearest")
    assert across.high[:, 0] == pytest.approx(across.slices[:, 0] - low, abs=1e-6)


def test_a_batch_has_the_target_of_its_own_pixels(batch):
    """Cropped, flipped and reversed alike: what is left is smooth, everywhere."""
    low = batch.inner - batch.high
    assert batch.high.shape == batch.inner.shape
    assert low.diff(dim=-1).abs().max() < 0.3 < batch.inner.diff(dim=-1).abs().max()
    assert batch.take(slice(1, 3)).high.shape[0] == batch.take(slice(1, 3)).sigma.shape[0] == 2


def test_nothing_is_computed_where_nothing_asks_for_it(params, discs):
    for given in (params(), params(parts=HEAD, weights={"test": {"rec": 1.0}})):
        assert given.cutoff == 0
        assert all(
            v.high is None for v in cut_views(discs(1)["case0"].make(), "auto", given).values()
        )
    without = params(variant="refined", weights=ASKED)
    assert "high" not in without.lambdas
    assert "adv_high" not in without.lambdas


def test_both_parts_are_the_residual_and_start_at_zero(asked, batch):
    made = synthesise(SynthesisModel(1, asked.network, asked.parts), batch)
    assert not made.motions[0].residual.any()
    made = synthesise(stirred(asked), batch)
    (motion,) = made.motions
    assert 0 < motion.residual.abs().max() <= 0.2
    low = motion.residual - motion.high
    assert low.abs().max() > 0
    assert motion.high.abs().max() <= 0.1


def test_the_error_of_high_frequencies_is_that_of_blend_and_high_part(asked, batch):
    made = synthesise(stirred(asked), batch)
    (motion,) = made.motions
    blended = motion.blend(batch.first, batch.last)[:, None]
    high = blended - low_pass(blended, batch.sigma) + motion.high[:, None]
    torch.testing.assert_close(synthetic_high(made), high)
    expected = (high - batch.high).abs().mean()
    torch.testing.assert_close(high_frequencies(made), expected)
    perfect = SimpleNamespace(
        slices=batch.inner,
        batch=batch,
        motions=[SimpleNamespace(residual=0 * low_of(batch), high=low_of(batch))],
    )
    assert high_frequencies(perfect) == pytest.approx(0, abs=1e-6)


def low_of(batch):
    """The high part that a perfect network adds to a perfect blend, `(B, C, h, w)`."""
    return (batch.high - batch.inner + low_pass(batch.inner, batch.sigma))[:, 0]


def test_a_network_with_the_head_comes_back_from_its_checkpoint(asked, batch):
    network = stirred(asked).eval()
    loaded = load_model(
        {
            "channels": 1,
            "network": asked.network.model_dump(),
            "parts": asked.parts.model_dump(),
            "weights": network.state_dict(),
        }
    )
    torch.testing.assert_close(synthesise(loaded, batch).slices, synthesise(network, batch).slices)


def test_the_head_needs_a_residual_and_whole_pixels(params):
    with pytest.raises(ValidationError, match="residual"):
        Parts(**{**HEAD, "residual": 0.0})
    with pytest.raises(ValidationError, match=r"network\.block: 1, got 2"):
        params(parts=HEAD, network={"block": 2})

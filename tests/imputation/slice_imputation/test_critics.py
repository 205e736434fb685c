"""Discriminators and object classifier: eq. (11), (13), (14), and what each variant has."""

from math import exp, log
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from slicefill.imputation.methods.slice_imputation.critics import (
    Critics,
    classification,
    critic_losses,
)
from slicefill.imputation.methods.slice_imputation.losses import adversarial
from slicefill.imputation.methods.slice_imputation.params import Parts

NAN = float("nan")
CONF = Path(__file__).parents[3] / "conf" / "base" / "parameters" / "methods.yml"
VARIANTS = {
    name: entry.get("parts", {})
    for name, entry in yaml.safe_load(CONF.read_text())["methods"].items()
    if entry["kind"] == "slice_imputation"
}
JUDGED = {
    "slice_imputation": {"global", "local", "classifier"},
    "iia": {"global", "local", "classifier"},
    "si_without_tp_smooth": {"global", "local", "classifier"},
    "si_without_gd": {"local", "classifier"},
    "si_without_ld": {"global"},
    "si_without_gd_ld": set(),
}


def real(logit):
    """-log σ(logit), the cost of judging this real."""
    return log(1 + exp(-logit))


def synthetic(logit):
    """-log(1 - σ(logit))."""
    return log(1 + exp(logit))


def test_the_variants_of_the_paper_are_configured():
    assert set(JUDGED) <= set(VARIANTS)


@pytest.mark.parametrize("name", JUDGED)
def test_a_variant_judges_with_what_it_has(name):
    critics = Critics(1, 4, Parts(**VARIANTS[name]))
    logits = critics(torch.rand(3, 1, 16, 16))
    assert set(logits) == JUDGED[name]
    assert all(logit.shape == (3,) for logit in logits.values())


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("slice_imputation", set()),
        ("iia", {"tp_smooth"}),
        ("si_without_tp_smooth", {"tp_smooth"}),
        ("si_without_gd", set()),
        ("si_without_ld", set()),
        ("si_without_gd_ld", {"adv"}),
    ],
)
def test_a_variant_leaves_out_its_terms_only(name, left_out, params):
    made = params(parts=VARIANTS[name])
    weights = made.weights["test"]
    assert made.lambdas == {n: weight for n, weight in weights.items() if n not in left_out}


def test_only_iia_trains_the_classifier_apart(params):
    apart = {name for name in JUDGED if params(parts=VARIANTS[name]).pretraining_epochs}
    assert apart == {"iia"}


def judged_as(logits):
    """Two groups of one synthetic slice, and what critics say of the two slices."""

    def critics(slices):
        assert slices.shape == (2, 1, 4, 4)
        return logits

    return SimpleNamespace(slices=torch.zeros(2, 1, 1, 4, 4), critics=critics)


def test_adversarial_term_sums_both_discriminators_and_leaves_out_the_classifier():
    logits = {"global": torch.tensor([0.0, 2.0]), "local": torch.tensor([-1.0, 1.0])}
    expected = (real(0) + real(2)) / 2 + (real(-1) + real(1)) / 2
    judged = logits | {"classifier": torch.tensor([9.0, 9.0])}
    assert adversarial(judged_as(judged)).item() == pytest.approx(expected)
    assert adversarial(SimpleNamespace(critics=None)) is None


def test_critic_losses_by_hand():
    on_real = {name: torch.tensor([1.0, -2.0]) for name in ("global", "local", "classifier")}
    on_made = {name: torch.tensor([0.5, -0.5]) for name in ("global", "local", "classifier")}
    losses = critic_losses(on_real, on_made, torch.tensor([1.0, 0.0]))
    told = (real(1) + real(-2)) / 2 + (synthetic(0.5) + synthetic(-0.5)) / 2
    assert losses["global"].item() == pytest.approx(told)
    assert losses["local"].item() == pytest.approx(told)
    # the first slice shows the object, the second does not; so do the slices made for them
    classified = (real(1) + synthetic(-2)) / 2 + (real(0.5) + synthetic(-0.5)) / 2
    assert losses["classifier"].item() == pytest.approx(classified)


def test_losses_stay_finite_for_sure_critics():
    sure = {"global": torch.tensor([500.0])}
    term = adversarial(judged_as({"global": torch.tensor([-500.0])}))
    assert term.item() == pytest.approx(500)
    assert critic_losses(sure, sure, torch.tensor([NAN]))["global"].item() == pytest.approx(500)


def test_slices_without_label_do_not_teach_the_classifier():
    logits = torch.tensor([0.3, -0.7, 2.0], requires_grad=True)
    loss = classification(logits, torch.tensor([1.0, NAN, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx((real(0.3) + synthetic(2)) / 2)
    assert logits.grad[1] == 0
    assert (logits.grad[[0, 2]] != 0).all()


def test_a_batch_without_labels_leaves_the_classifier_alone():
    critics = Critics(1, 4, Parts(**VARIANTS["slice_imputation"]))
    slices = torch.rand(2, 1, 16, 16)
    losses = critic_losses(critics(slices), critics(slices), torch.full((2,), NAN))
    assert losses["classifier"].item() == 0
    sum(losses.values()).backward()
    weights = critics.multitask["classifier"].parameters()
    assert all(weight.grad is None or not weight.grad.any() for weight in weights)
    weights = critics.multitask["local_discriminator"].parameters()
    assert all(weight.grad.any() for weight in weights)


def test_attention_and_classifier_learn_apart_and_are_fixed_after_that():
    critics = Critics(1, 4, Parts(**VARIANTS["iia"]))
    critics.begin_stage(apart=True)
    learning = {name for name, w in critics.named_parameters() if w.requires_grad}
    assert {name.split(".")[1] for name in learning} == {"attention", "classifier"}
    critics.begin_stage(apart=False)
    frozen = {name for name, w in critics.named_parameters() if not w.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"attention", "classifier"}
    judged = critics(torch.rand(2, 1, 16, 16))
    assert not judged["classifier"].requires_grad
    assert judged["local"].requires_grad
    assert judged["global"].requires_grad

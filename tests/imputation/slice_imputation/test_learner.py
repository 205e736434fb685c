"""An epoch of training: what learns, by how much, at which rate, on which groups; what stops it."""

from math import cos, pi

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.slice_imputation.groups import require_groups, summarise_views
from slicefill.imputation.methods.slice_imputation.learner import SynthesisLearner, schedule
from slicefill.imputation.methods.slice_imputation.training_set import TrainingSet
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.training.optimised_network import optimise_network

RATE = 1e-3  # of `params`, for networks and critics alike
REC = {"test": {"rec": 1.0}}
WHOLE = {"inner": (1, 1), "in_plane": 0.0, "crop": (32, 32)}  # groups across slices, not cropped


@pytest.fixture
def start(discs, fabric, params):
    """Set up a training on discs."""

    def set_up(labelled=True, **changes):
        made = params(**changes)
        cases = discs(2, labelled)
        cache = ViewCache(cases, "auto", made)
        summaries = summarise_views(cache, sorted(cases))
        return SynthesisLearner(fabric, TrainingSet(cache, summaries, cache, [], None), made)

    return set_up


@pytest.fixture
def slices(discs):
    """The slices of each of the two cases that `start` trains on, `(6, 32, 32)`."""
    return [np.moveaxis(promise.make().image.stored, 2, 0) for promise in discs(2).values()]


def parts_of(learner):
    """Every part that learns, by name."""
    parts = {"synthesis": learner.synthesis.network}
    if learner.critics is not None:
        parts["global"] = learner.critics.network.global_discriminator
        parts |= dict(learner.critics.network.multitask.items())
    return parts


def snapshot(learner):
    """Copy all weights, by part."""
    return {
        name: [w.detach().clone() for w in part.parameters()]
        for name, part in parts_of(learner).items()
    }


def changed(before, after):
    return {
        name for name, weights in before.items() if not all(map(torch.equal, weights, after[name]))
    }


def largest_step(before, after, name):
    """By how much the weight of a part that moved most was moved."""
    return max(
        float((old - new).abs().max()) for old, new in zip(before[name], after[name], strict=True)
    )


EVERYONE = {"synthesis", "global", "attention", "local_discriminator", "classifier"}


def test_the_losses_of_an_epoch_are_means_over_all_groups_of_what_linear_interpolation_misses(
    start, slices
):
    """An untrained network sees no motion: flipped and reversed groups have the same losses."""
    learner = start(
        variant="plain",
        weights={"test": {"rec": 2.0, "warp": 1.0, "smooth": 1.0}},
        groups=WHOLE,
        optimisation={"learning_rate": 1e-12, "groups_per_epoch": None, "batch": 1},
    )
    logged = learner.train_epoch(0)
    first, real, last = (
        np.concatenate([case[k : k + 4] for case in slices]) for k in range(3)
    )  # 4 groups in each case
    rec = np.abs((first + last) / 2 - real).mean()
    warp = (
        2 * np.abs(first - last).mean() + np.abs(first - real).mean() + np.abs(last - real).mean()
    )
    expected = {
        "train/total": 2 * rec + warp,
        "train/raw/rec": rec,
        "train/raw/warp": warp,
        "train/raw/smooth": 0.0,
        "train/weighted/rec": 2 * rec,
        "train/weighted/warp": warp,
        "train/weighted/smooth": 0.0,
    }
    losses = {name: value for name, value in logged.items() if "share" not in name}
    assert losses == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert learner.state()["step"] == 8


def test_the_first_step_moves_what_has_a_gradient_by_the_learning_rate(start):
    """Adam's first step is the rate, whatever the gradient; the last layer starts at zero, so that
    no gradient passes it."""
    learner = start(
        variant="plain",
        weights=REC,
        groups=WHOLE,
        optimisation={"groups_per_epoch": 1, "warmup_steps": 1, "decay": "constant"},
    )
    network = learner.synthesis.network.module
    before = {name: w.detach().clone() for name, w in network.named_parameters()}
    learner.train_epoch(0)
    moved = {n: (w.detach() - before[n]).abs() for n, w in network.named_parameters()}
    assert {n for n, step in moved.items() if step.any()} == {
        "flow_network.out.weight",
        "flow_network.out.bias",
    }
    for step in (moved["flow_network.out.weight"], moved["flow_network.out.bias"]):
        assert float(step.max()) == pytest.approx(RATE / 2, rel=1e-3)  # half: warm-up of one step


def test_critics_take_steps_at_a_rate_of_their_own(start):
    options = {"groups_per_epoch": 1, "warmup_steps": 0, "critic_learning_rate": 5e-3}
    learner = start(groups=WHOLE, optimisation=options)
    before = snapshot(learner)
    learner.train_epoch(0)
    after = snapshot(learner)
    assert largest_step(before, after, "synthesis") == pytest.approx(RATE, rel=1e-3)
    for name in EVERYONE - {"synthesis"}:
        assert largest_step(before, after, name) == pytest.approx(5e-3, rel=1e-2), name


def test_a_step_makes_the_loss_of_its_own_batch_smaller(start):
    options = {"groups_per_epoch": None, "batch": 8, "warmup_steps": 0, "decay": "constant"}
    learner = start(
        variant="plain",
        weights=REC,
        groups={**WHOLE, "flip": False, "reverse": False},
        optimisation={**options, "learning_rate": 1e-4},
    )
    losses = [learner.train_epoch(epoch)["train/raw/rec"] for epoch in range(6)]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 6


def test_everyone_learns_together(start):
    learner = start()
    before = snapshot(learner)
    logged = learner.train_epoch(0)
    assert changed(before, snapshot(learner)) == EVERYONE
    raw = {"rec", "warp", "smooth", "adv", "tp_smooth"}
    assert set(logged) == (
        {f"train/{kind}/{name}" for kind in ("raw", "weighted", "share") for name in raw}
        | {"train/total", "critic/global", "critic/local", "critic/classifier"}
    )


def test_each_weighted_term_is_lambda_times_the_raw_one_and_they_sum_to_the_total(start, params):
    logged, lambdas = start().train_epoch(0), params().lambdas
    weighted = {n.split("/")[-1]: v for n, v in logged.items() if n.startswith("train/weighted")}
    for name, value in weighted.items():
        assert value == pytest.approx(lambdas[name] * logged[f"train/raw/{name}"], rel=1e-4)
    assert sum(weighted.values()) == pytest.approx(logged["train/total"], rel=1e-4)


def test_shares_are_those_of_the_gradients_and_follow_the_weights(start):
    """Twice the λ is twice the norm: odds between two terms double."""

    def shares(weight):
        weights = {"test": {"rec": 1.0, "warp": weight, "tp_smooth": 0.1}}
        options = {"groups_per_epoch": 2, "batch": 2, "learning_rate": 1e-12}
        logged = start(weights=weights, groups=WHOLE, optimisation=options).train_epoch(0)
        found = {n.rpartition("/")[2]: v for n, v in logged.items() if "share" in n}
        assert sum(found.values()) == pytest.approx(1)
        return found

    once, twice = shares(0.5), shares(1.0)
    assert set(once) == {"rec", "warp", "tp_smooth"}
    odds = [found["warp"] / found["rec"] for found in (once, twice)]
    assert odds[1] == pytest.approx(2 * odds[0], rel=1e-4)


def test_measuring_shares_changes_nothing_that_is_learned(start, monkeypatch):
    learner = start()
    logged = learner.train_epoch(0)
    monkeypatch.setattr(
        "slicefill.imputation.methods.slice_imputation.learner.gradient_shares", lambda *_: {}
    )
    unmeasured = start()
    plain = unmeasured.train_epoch(0)
    assert plain == {name: value for name, value in logged.items() if "share" not in name}
    assert not changed(snapshot(learner), snapshot(unmeasured))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_gradient_beyond_the_multiple_of_its_running_norm_is_clipped(scale, fabric):
    """So the clip binds alike whatever scale the λ are on."""
    network = torch.nn.Linear(1, 1, bias=False)
    optimised = optimise_network(fabric, network, 1e-3, 2.0)
    seen = []
    for slope in (3.0, 3.0, 30.0, 5.0):
        loss = scale * slope * optimised.network(torch.ones(1, 1)).sum()
        optimised.update(fabric, loss)
        seen.append(float(network.weight.grad) / scale)
    assert seen == pytest.approx([3.0, 3.0, 6.0, 5.0], rel=1e-4)
    norm = 0.98 * 3.0 + 0.02 * 6.0  # the outlier counts as far as it was let through
    assert optimised.running_norm == pytest.approx(scale * (0.98 * norm + 0.1), rel=1e-4)
    again = optimise_network(fabric, torch.nn.Linear(1, 1, bias=False), 1e-3, 2.0)
    again.restore(optimised.state())
    assert again.running_norm == optimised.running_norm


def test_iia_trains_attention_and_classifier_apart_and_then_fixes_them(start):
    learner = start(variant="iia", optimisation={"pretraining_epochs": 2})
    begun = snapshot(learner)
    logged = [learner.train_epoch(epoch) for epoch in range(2)]
    assert all(set(values) == {"critic/classifier"} for values in logged)
    trained = snapshot(learner)
    assert changed(begun, trained) == {"attention", "classifier"}
    for epoch in (2, 3):
        values = learner.train_epoch(epoch)
    assert changed(trained, snapshot(learner)) == EVERYONE - {"attention", "classifier"}
    assert "train/raw/adv" in values
    assert "train/raw/tp_smooth" not in values


def test_pretraining_without_labels_leaves_the_weights_alone(start):
    learner = start(labelled=False, variant="iia")
    before = snapshot(learner)
    assert learner.train_epoch(0) == {"critic/classifier": 0}
    assert not changed(before, snapshot(learner))


def test_pretraining_does_not_use_up_the_schedule(start):
    def rates(epochs, **changes):
        learner = start(optimisation={"pretraining_epochs": 2, "epochs": 3}, **changes)
        used = []
        for epoch in range(epochs):
            learner.train_epoch(epoch)
            used.append(learner.synthesis.optimiser.param_groups[0]["lr"])
        return used

    plain = {"in_plane": 0, "inner": (1, 1)}  # as many batches in every epoch
    assert rates(5, variant="iia", groups=plain)[2:] == pytest.approx(rates(3, groups=plain))


def test_without_critics_only_the_network_learns(start):
    learner = start(variant="plain")
    assert learner.critics is None
    before = snapshot(learner)
    logged = learner.train_epoch(0)
    assert changed(before, snapshot(learner)) == {"synthesis"}
    assert not any("critic" in name for name in logged)


def test_frozen_parts_take_no_step(start):
    learner = start(variant="refined", optimisation={"frozen": ("flow_network",)})
    network = learner.synthesis.network.module
    before = {name: w.detach().clone() for name, w in network.named_parameters()}
    learner.train_epoch(0)
    moved = {n for n, w in network.named_parameters() if not torch.equal(w, before[n])}
    assert {name.split(".")[0] for name in moved} == {"refinement"}


def test_an_epoch_is_fixed_by_the_seed_and_its_number(start):
    def once(seed, epoch=0):
        learner = start(optimisation={"seed": seed})
        return learner.train_epoch(epoch), snapshot(learner)

    (logged, weights), (again, same), (other, _) = once(1), once(1), once(2)
    assert logged == again != other
    assert not changed(weights, same)
    assert once(1, epoch=1)[0] != logged


def poison(learner, name):
    """Make what the network puts out (and so the first term that sees it) not a number."""
    network = learner.synthesis.network
    if name == "classifier":
        network = learner.critics.network.multitask["classifier"].layers[-1]
    else:
        network = network.flow_network.out
    with torch.no_grad():
        network.bias.fill_(float("nan"))


@pytest.mark.parametrize(
    ("variant", "name", "pretraining"),
    [("plain", "rec", 0), ("paper", "global", 0), ("iia", "classifier", 1)],
)
def test_the_first_term_that_is_not_a_number_stops_training_by_name(
    variant, name, pretraining, start
):
    learner = start(variant=variant, optimisation={"pretraining_epochs": pretraining})
    poison(learner, name)
    with pytest.raises(FloatingPointError, match=rf"loss term {name}.*learning_rate"):
        learner.train_epoch(0)


def test_no_group_is_refused_with_what_is_needed(start):
    learner = start(groups={"inner": (9, 9), "in_plane": 0})
    with pytest.raises(ValueError, match=r"no training group: .*inner \(9, 9\).* 11 slices"):
        learner.train_epoch(0)


def test_one_group_is_enough(params):
    require_groups(1, "training", params())


def test_warm_up_is_linear_and_the_constant_rate_stays(params):
    options = params(optimisation={"warmup_steps": 3, "decay": "constant"}).optimisation
    factors = [schedule(step, step / 100, options) for step in (0, 1, 2, 3, 50, 99)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_cosine_falls_to_a_hundredth(params):
    options = params(optimisation={"warmup_steps": 0, "decay": "cosine"}).optimisation
    assert schedule(0, 0.0, options) == pytest.approx(1)
    assert schedule(50, 0.5, options) == pytest.approx(0.505)
    assert schedule(25, 0.25, options) == pytest.approx(0.01 + 0.99 * (1 + cos(pi / 4)) / 2)
    assert schedule(100, 1.0, options) == schedule(500, 5.0, options) == pytest.approx(0.01)


def test_a_slab_critic_learns_and_its_share_of_the_gradients_is_logged(start):
    weights = {"test": {"rec": 1.0, "adv_slab": 0.1}}
    learner = start(variant="plain", weights=weights)
    before = [w.detach().clone() for w in learner.critics.network.further.parameters()]
    logged = learner.train_epoch(0)
    after = list(learner.critics.network.further.parameters())
    assert all(not torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert logged["critic/adv_slab"] > 0
    assert 0 < logged["train/share/adv_slab"] < 1


def test_the_head_of_high_frequencies_and_its_critic_learn(start):
    parts = {"tp_smooth": False, "global_discriminator": False, "local_discriminator": False}
    parts |= {"refinement": True, "residual": 0.2, "frequency": 0.5}
    learner = start(parts=parts, weights={"test": {"rec": 1.0, "high": 1.0, "adv_high": 0.1}})
    head = learner.synthesis.network.module.refinement.high
    before = head.weight.detach().clone()
    logged = [learner.train_epoch(epoch) for epoch in range(2)][-1]
    assert not torch.equal(before, head.weight)
    assert logged["critic/adv_high"] > 0
    for name in ("rec", "high", "adv_high"):
        assert logged[f"train/share/{name}"] > 0


def test_a_critic_of_reformatted_planes_judges_half_of_the_groups(start):
    weights = {"test": {"rec": 1.0, "upsampled": 0.5, "adv_reformatted": 0.1}}
    groups = {"inner": (3, 3), "through_plane": 1.0, "in_plane": 1.0}
    learner = start(variant="plain", weights=weights, groups=groups)
    logged = learner.train_epoch(0)
    assert logged["critic/adv_reformatted"] > 0
    assert "train/raw/upsampled" in logged
    assert logged["train/raw/adv_reformatted"] > 0

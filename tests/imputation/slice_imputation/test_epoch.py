"""One epoch: who learns when, at which rate, on which groups; and what stops it."""

from math import cos, pi

import pytest
import torch

from slicefill.imputation.methods.slice_imputation.epoch import (
    Setting,
    require_groups,
    run_epoch,
    schedule,
)
from slicefill.imputation.methods.slice_imputation.groups import summarise
from slicefill.imputation.methods.slice_imputation.state import start_training
from slicefill.imputation.methods.slice_imputation.views import ViewCache


@pytest.fixture
def start(discs, fabric, params):
    """Set up a training on discs: its state and its setting."""

    def set_up(labelled=True, **changes):
        made = params(**changes)
        cases = discs(2, labelled)
        cache = ViewCache(cases, "auto", made)
        setting = Setting(fabric, made, None, cache, summarise(cache, sorted(cases)))
        return start_training(fabric, 1, made), setting

    return set_up


def snapshot(training):
    """Copy all weights, by part."""
    parts = {"synthesis": training.synthesis.network}
    if training.critics is not None:
        parts["global"] = training.critics.network.global_discriminator
        parts |= dict(training.critics.network.multitask.items())
    return {name: [w.detach().clone() for w in part.parameters()] for name, part in parts.items()}


def changed(before, after):
    return {
        name for name, weights in before.items() if not all(map(torch.equal, weights, after[name]))
    }


EVERYONE = {"synthesis", "global", "attention", "local_discriminator", "classifier"}


def test_everyone_learns_together(start):
    training, setting = start()
    before = snapshot(training)
    logged = run_epoch(training, setting)
    assert changed(before, snapshot(training)) == EVERYONE
    assert training.epoch == 1
    assert training.step > 0
    raw = {"rec", "warp", "smooth", "adv", "tp_smooth"}
    assert set(logged) == (
        {f"train/{kind}/{name}" for kind in ("raw", "weighted") for name in raw}
        | {"train/total", "critic/global", "critic/local", "critic/classifier"}
    )


def test_each_weighted_term_is_lambda_times_the_raw_one_and_they_sum_to_the_total(start):
    training, setting = start()
    logged = run_epoch(training, setting)
    lambdas = setting.params.lambdas
    weighted = {n.split("/")[-1]: v for n, v in logged.items() if n.startswith("train/weighted")}
    for name, value in weighted.items():
        assert value == pytest.approx(lambdas[name] * logged[f"train/raw/{name}"], rel=1e-4)
    assert sum(weighted.values()) == pytest.approx(logged["train/total"], rel=1e-4)


def test_iia_trains_attention_and_classifier_apart_and_then_fixes_them(start):
    training, setting = start(variant="iia", optimisation={"pretraining_epochs": 2})
    begun = snapshot(training)
    logged = [run_epoch(training, setting) for _ in range(2)]
    assert all(set(values) == {"critic/classifier"} for values in logged)
    trained = snapshot(training)
    assert changed(begun, trained) == {"attention", "classifier"}
    for _ in range(2):
        logged = run_epoch(training, setting)
    assert changed(trained, snapshot(training)) == EVERYONE - {"attention", "classifier"}
    assert "train/raw/adv" in logged
    assert "train/raw/tp_smooth" not in logged


def test_pretraining_without_labels_leaves_the_weights_alone(start):
    training, setting = start(labelled=False, variant="iia")
    before = snapshot(training)
    assert run_epoch(training, setting) == {"critic/classifier": 0}
    assert not changed(before, snapshot(training))


def test_pretraining_does_not_use_up_the_schedule(start):
    def rates(epochs, **changes):
        training, setting = start(optimisation={"pretraining_epochs": 2, "epochs": 3}, **changes)
        used = []
        for _ in range(epochs):
            run_epoch(training, setting)
            used.append(training.synthesis.optimiser.param_groups[0]["lr"])
        return used

    plain = {"in_plane": 0, "inner": (1, 1)}  # as many batches in every epoch
    assert rates(5, variant="iia", groups=plain)[2:] == pytest.approx(rates(3, groups=plain))


def test_without_critics_only_the_network_learns(start):
    training, setting = start(variant="plain")
    assert training.critics is None
    before = snapshot(training)
    logged = run_epoch(training, setting)
    assert changed(before, snapshot(training)) == {"synthesis"}
    assert not any("critic" in name for name in logged)


def test_an_epoch_is_fixed_by_the_seed(start):
    def once(seed):
        training, setting = start(optimisation={"seed": seed})
        return run_epoch(training, setting), snapshot(training)

    (logged, weights), (again, same), (other, _) = once(1), once(1), once(2)
    assert logged == again != other
    assert not changed(weights, same)


def poison(training, name):
    """Make what the network puts out (and so the first term that sees it) not a number."""
    network = training.synthesis.network
    if name == "classifier":
        network = training.critics.network.multitask["classifier"].layers[-1]
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
    training, setting = start(variant=variant, optimisation={"pretraining_epochs": pretraining})
    poison(training, name)
    with pytest.raises(FloatingPointError, match=rf"loss term {name}.*learning_rate"):
        run_epoch(training, setting)


def test_no_group_is_refused_with_what_is_needed(start):
    training, setting = start(groups={"inner": (9, 9), "in_plane": 0})
    with pytest.raises(ValueError, match=r"no training group: .*inner \(9, 9\).* 11 slices"):
        run_epoch(training, setting)


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

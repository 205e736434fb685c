"""Adaptation: it learns from the scans to be imputed, and never harms on what it held out."""

import json
import logging

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from slicefill.imputation.methods.adapted import adaptation as library
from slicefill.imputation.methods.adapted.acceptance import compare_weights
from slicefill.imputation.methods.adapted.adaptation import (
    adapt,
    adaptation_fingerprint,
    training_params,
)
from slicefill.imputation.methods.adapted.holding_out import Scans, divide
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.training_set import (
    TrainingData,
    gather_training_set,
    validate,
)
from slicefill.training.fit import Run
from slicefill.types import Case, Promise


class NoStore:
    """Keeps nothing."""

    def load(self):
        return None

    def save(self, state):
        pass


LEARNING = {"epochs": 4, "learning_rate": 3e-2, "groups_per_epoch": 64}

RUN = Run(NoStore(), lambda values, epoch: None)


@pytest.fixture
def scans(discs):
    """Scans of moving discs, a subject each."""

    def make(count=4):
        cases = discs(count, labelled=False)
        return Scans(cases, {case: case for case in cases})

    return make


def test_it_learns_from_the_scans_and_says_how_much_was_gained(scans, start, adaptation, caplog):
    caplog.set_level(logging.INFO)
    params = adaptation(optimisation=LEARNING)
    made = adapt(scans(6), start, params, RUN)
    found = made["adaptation"]
    assert found["used"] == made["kind"] == "adapted"
    assert found["reason"].startswith(
        "every kind of held-out slices has a gain of at least 0.05 dB"
    )
    assert found["gain_db"] > 0.1
    assert found["kinds"]["through_plane"]["groups"] == 2 * 4  # two subjects of six, six slices
    assert found["labels"] is None
    assert found["held_out"] == "subjects"
    assert found["scans"] == 6
    assert found["steps"] == 4 * 4  # epochs; a batch of 4 from each of 4 scans, of 4 groups
    assert any("the adapted weights are used" in r.message for r in caplog.records)
    assert not torch.equal(made["weights"]["flow_network.out.bias"], torch.ones(4))
    assert (
        made["confidence"] == start["confidence"]
    )  # what the start knows besides its weights stays
    json.dumps(found)  # plain: it goes into every record


def test_without_a_gain_the_given_weights_are_kept_to_the_bit_and_it_is_said(
    scans, start, adaptation, caplog
):
    made = adapt(scans(), start, adaptation(optimisation={"learning_rate": 1e-9}), RUN)
    assert made["adaptation"]["used"] == made["kind"] == "pretrained"
    assert made["adaptation"]["reason"].startswith("not every kind")
    assert all(torch.equal(made["weights"][k], v) for k, v in start["weights"].items())
    assert made["epoch"] == start["epoch"]
    (warning,) = [r.message for r in caplog.records if "adaptation:" in r.message]
    assert "gains 0.05 dB (adaptation.least_gain) with p <= 0.1 (largest_p)" in warning
    assert "the shipped weights are kept" in warning


def test_a_gain_below_the_least_is_none(scans, start, adaptation):
    params = adaptation(optimisation={"learning_rate": 1e-3, "epochs": 2}, least_gain=99.0)
    made = adapt(scans(), start, params, RUN)
    assert made["adaptation"]["gain_db"] < 99
    assert made["adaptation"]["used"] == "pretrained"


@pytest.mark.parametrize(
    ("count", "remedies"),
    [
        (4, ["adaptation.held_out=0.4", "more scans"]),  # four slices of one subject, then of two
        (2, ["more scans"]),  # one of two subjects is the most that can be held out
    ],
)
def test_with_too_little_held_out_nothing_is_trained_and_it_is_said_before(
    scans, start, adaptation, caplog, monkeypatch, count, remedies
):
    monkeypatch.setattr(library, "train_on", lambda *_: pytest.fail("it was trained"))
    params = adaptation(largest_p=0.01)
    made = adapt(scans(count), start, params, RUN)
    assert (made["kind"], made["history"]) == ("pretrained", [])
    assert all(torch.equal(made["weights"][name], own) for name, own in start["weights"].items())
    found = made["adaptation"]
    assert (found["used"], found["steps"], found["gain_db"]) == ("pretrained", 0, None)
    assert found["kinds"]["through_plane"]["groups"] == 4
    assert found["reason"].startswith("too little to tell: 4 through_plane group(s)")
    assert "p <= 0.01 (adaptation.largest_p) needs 7 of each kind" in found["reason"]
    json.dumps(found)
    (warning,) = caplog.messages
    told = [
        each.removeprefix("--params ").removesuffix(" (in a Kedro run)")
        for each in warning.split("would do: ")[1].split("; or ")
    ]
    assert told == remedies


def test_the_values_that_are_proposed_work(scans, start, adaptation, monkeypatch):
    monkeypatch.setattr(library, "train_on", lambda *_: pytest.fail("training began"))
    with pytest.raises(pytest.fail.Exception, match="training began"):
        adapt(scans(4), start, adaptation(largest_p=0.01, held_out=0.4), RUN)


def test_it_goes_a_fraction_of_the_way(scans, start, adaptation):
    optimisation = {"learning_rate": 3e-2, "epochs": 2}
    half, whole = (
        adapt(scans(), start, adaptation(fraction=s, optimisation=optimisation, least_gain=0), RUN)
        for s in (0.5, 1.0)
    )
    for name, weights in start["weights"].items():
        middle = (weights + whole["weights"][name]) / 2
        torch.testing.assert_close(half["weights"][name], middle)


def test_frozen_parts_keep_their_weights_to_the_bit(scans, params, adaptation):
    made = params(variant="refined", groups={"inner": (1, 1)})
    torch.manual_seed(1)
    model = SynthesisModel(1, made.network, made.parts)
    sections = {name: getattr(made, name).model_dump() for name in ("network", "parts", "window")}
    start = {"weights": model.state_dict(), "channels": 1, **sections}
    frozen = {**LEARNING, "frozen": ["flow_network"]}
    adapted = adapt(scans(6), start, adaptation(optimisation=frozen, least_gain=0), RUN)
    assert adapted["adaptation"]["used"] == "adapted"
    same = {
        name: torch.equal(adapted["weights"][name], w) for name, w in model.state_dict().items()
    }
    assert {name.split(".")[0] for name, kept in same.items() if kept} == {"flow_network"}
    assert not any(kept for name, kept in same.items() if name.startswith("refinement"))


def test_gains_are_paired_over_the_same_groups(scans, start, adaptation):
    params = adaptation(groups={"in_plane": 1.0})
    synthesis, cases = training_params(start, params), scans(2).cases
    training_set = gather_training_set(TrainingData(cases, cases, "auto"), synthesis)
    torch.manual_seed(2)
    other = {"weights": SynthesisModel(1, synthesis.network, synthesis.parts).state_dict()}
    other = {**start, "weights": {k: 1.5 * v for k, v in other["weights"].items()}}
    found = compare_weights(start, other, training_set, synthesis)
    before, after = (
        validate(load_model(each), training_set.held_out, training_set.scored)
        for each in (start, other)
    )
    for kind, own in found["kinds"].items():
        name = f"validation/psnr/{kind}"
        assert own["gain_db"] == pytest.approx(after[name] - before[name], abs=1e-5)
        name = f"validation/ssim/{kind}"
        assert own["ssim_gain"] == pytest.approx(after[name] - before[name], abs=1e-5)
    gain = after["validation/psnr"] - before["validation/psnr"]
    assert found["gain_db"] == pytest.approx(gain, abs=1e-5)
    assert sum(kind["groups"] for kind in found["kinds"].values()) == len(training_set.scored)
    same = compare_weights(start, start, training_set, synthesis)
    assert same["gain_db"] == 0
    told = ("better", "p", "ssim_gain", "ssim_fall_p")
    for kind in same["kinds"].values():
        assert [kind[name] for name in told] == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("depth", [2, 6, 7])
def test_of_a_short_scan_nothing_is_trained_and_the_shipped_weights_impute(
    make_case, start, adaptation, caplog, monkeypatch, depth
):
    """Seven slices hold three out, but not half of them; fewer hold out none."""
    monkeypatch.setattr(library, "train_on", lambda *_: pytest.fail("it was trained"))
    slices = np.random.default_rng(0).random((depth, 32, 32)).astype(np.float32)
    short = Scans({"a": Promise(lambda: make_case(slices), "short")}, {"a": "1"})
    made = adapt(short, start, adaptation(largest_p=0.01, held_out=0.2), RUN)
    assert (made["kind"], made["history"]) == ("pretrained", [])
    groups = int(depth == 7)
    assert made["adaptation"]["reason"].startswith(f"too little to tell: {groups} through_plane")
    assert caplog.messages[0].endswith("what would do: more scans")


def test_few_subjects_give_slices_of_every_scan_and_of_one_short_scan_nothing_is_held_out(
    scans, make_case, adaptation
):
    long = Promise(lambda: make_case(np.random.default_rng(0).random((9, 8, 8))), "long")
    both = Scans({"a": long, "b": long}, {"a": "1", "b": "1"})
    assert divide(both, 1, adaptation()).by == "slices"
    assert divide(scans(3), 1, adaptation()).by == "subjects"
    assert divide(scans(2), 1, adaptation()).by == "subjects"  # six slices each: too few to cut
    alone = divide(scans(1), 1, adaptation())
    assert (len(alone.training), alone.held_out) == (1, {})


def test_only_the_channels_that_guide_the_model_are_used(make_case, scans, adaptation):
    slices = np.random.default_rng(0).random((9, 8, 8)).astype(np.float32)
    plain = make_case(slices).image
    four = np.stack([plain.stored, 0 * plain.stored, 1 - plain.stored], -1)
    given = Promise(lambda: Case(plain.with_stored(four)), "4D")
    divided = divide(Scans({"a": given}, {"a": "1"}), 1, adaptation())
    (part,) = divided.held_out.values()
    np.testing.assert_array_equal(part.make().image.stored[..., 0], plain.stored[..., 3:6])
    assert part.make().image.stored.shape == (8, 8, 3, 1)


def test_network_and_window_are_those_of_the_start_and_critics_follow_their_weight(
    start, adaptation
):
    plain = training_params(start, adaptation())
    assert plain.network.model_dump() == start["network"]
    assert plain.window.model_dump() == start["window"]
    assert not plain.parts.global_discriminator
    assert plain.lambdas["cycle"] == 0.1
    full = training_params(start, adaptation(weights={"adv": 0.01, "tp_smooth": 0.1}))
    assert full.parts.global_discriminator
    assert full.parts.local_discriminator
    assert full.lambdas["adv"] == 0.01
    assert full.lambdas["tp_smooth"] == 0.1


def test_the_full_losses_train_too(scans, start, adaptation):
    made = adapt(scans(), start, adaptation(weights={"adv": 0.01, "tp_smooth": 0.1}), RUN)
    terms = {row["term"] for row in made["history"]}
    assert {"critic/global", "critic/local", "train/raw/adv", "train/raw/cycle"} <= terms


def test_every_input_of_adaptation_is_part_of_the_fingerprint(scans, start, adaptation):
    few, params = scans(2), adaptation()
    other = {name: 1 + weight for name, weight in start["weights"].items()}
    marks = [
        adaptation_fingerprint(few, start, params),
        adaptation_fingerprint(scans(3), start, params),
        adaptation_fingerprint(Scans(few.cases, dict.fromkeys(few.cases, "one")), start, params),
        adaptation_fingerprint(few, start, params.within(2)),
        adaptation_fingerprint(few, {**start, "weights": other}, params),
    ]
    assert len(set(marks)) == 5
    assert adaptation_fingerprint(scans(2), start, adaptation()) == marks[0]


def test_without_a_limit_of_time_it_is_refused(adaptation):
    with pytest.raises(ValidationError, match=r"optimisation\.minutes: expected a number"):
        adaptation(optimisation={"minutes": None})


def test_no_more_scans_are_drawn_than_asked_for(scans):
    drawn = scans(6).draw(4, seed=0)
    assert len(drawn.cases) == 4
    assert set(drawn.cases) < set(scans(6).cases)
    assert drawn.cases.keys() == scans(6).draw(4, seed=0).cases.keys()
    assert len(scans(3).draw(24, seed=0).cases) == 3


def test_a_lambda_without_a_loss_term_is_refused_before_training(scans, start, adaptation):
    unknown = adaptation(weights={"grd": 0.5})
    with pytest.raises(ValueError, match=r"adaptation\.weights: expected .*rec, .*got grd"):
        adaptation_fingerprint(scans(), start, unknown)

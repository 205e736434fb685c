"""Mean teacher: its equations by hand, what it must not touch, resuming, a toy task."""

import copy
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from slicefill.segmentation.engines.mean_teacher import Params
from slicefill.segmentation.engines.mean_teacher.teacher import (
    MeanTeacher,
    add_noise,
    consistency_loss,
    gaussian_ramp,
    predict_by_teacher,
    predictive_entropy,
    with_mean_teacher,
)
from slicefill.segmentation.interface import PatchBatch

STEPS = 40


def given(**changes):
    usual = {"dropout": 0.2, "decay": 0.99, "consistency": 1.0, "ramp_up": 0.5}
    usual |= {"passes": 4, "noise": 0.1, "unlabelled_fraction": 0.5}
    return Params(width=4, patch=(32, 32), **usual | changes)


def make_student(dropout=0.2, norm=nn.InstanceNorm2d):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        norm(8),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv2d(8, 2, 3, padding=1),
    )


def discs(count, rng):
    """Bright discs on a dark, noisy background."""
    rows, columns = np.mgrid[:16, :16]
    centres, radii = rng.uniform(5, 11, (2, count, 1, 1)), rng.uniform(3, 5, (count, 1, 1))
    label = (rows - centres[0]) ** 2 + (columns - centres[1]) ** 2 < radii**2
    image = 0.2 + 0.6 * label + 0.1 * rng.standard_normal(label.shape)
    label = torch.from_numpy(label).long()[:, None]
    return PatchBatch(torch.from_numpy(image).float()[:, None], label, torch.ones(label.shape))


def draw(rng, few=None):
    return few or discs(2, rng), discs(3, rng)


def cross_entropy(logits, label, weight):
    return F.cross_entropy(logits, label[:, 0])


def teach(student, params, drawn=draw):
    return MeanTeacher(copy.deepcopy(student), drawn, params, STEPS, cross_entropy)


def terms_of(objective, student, step=STEPS, seed=0):
    torch.manual_seed(seed)
    return objective.terms(student, step, np.random.default_rng(seed))


def train(objective, student, optimiser, epochs, steps_per_epoch=5):
    losses = []
    for epoch in epochs:
        rng = np.random.default_rng((0, epoch))
        torch.manual_seed(int(rng.integers(2**31)))
        for step in range(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch):
            loss = sum(objective.terms(student, step, rng).values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            objective.after_step(student, step)
            losses.append(loss.item())
    return losses


class Function(nn.Module):
    """A network without parameters."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_ramp_by_hand():
    assert gaussian_ramp(0, 100) == pytest.approx(math.exp(-5))
    assert gaussian_ramp(50, 100) == pytest.approx(math.exp(-1.25))
    assert gaussian_ramp(100, 100) == gaussian_ramp(1000, 100) == 1
    assert gaussian_ramp(0, 0) == 1


@pytest.mark.parametrize(("step", "fraction"), [(0, math.exp(-5)), (10, math.exp(-1.25)), (20, 1)])
def test_consistency_is_weighted_by_the_ramp_over_its_share_of_the_steps(step, fraction):
    student = make_student()
    teacher = Function(lambda image: torch.cat([image - 100, image], 1))  # certain everywhere
    objective = MeanTeacher(teacher, draw, given(consistency=3), STEPS, cross_entropy)
    plain = MeanTeacher(teacher, draw, given(ramp_up=0), STEPS, cross_entropy)
    value = terms_of(objective, student, step)["consistency"]
    expected = 3 * fraction * terms_of(plain, student, step)["consistency"]
    assert expected > 0
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    ("decay", "weights", "expected"),
    [
        (0.4, [2, 4], [2, 0.4 * 2 + 0.6 * 4]),
        (0.99, [1, 5, 9, 4], [1, 3, 5, 19 / 4]),  # early on, the mean of all students
    ],
)
def test_moving_average_by_hand(decay, weights, expected):
    student, teacher = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    objective = MeanTeacher(teacher, draw, given(decay=decay), STEPS, cross_entropy)
    for step, weight in enumerate(weights):
        nn.init.constant_(student.weight, weight)
        objective.after_step(student, step)
        assert teacher.weight.item() == pytest.approx(expected[step])


def test_parameters_and_buffers_follow_a_student_wrapped_by_fabric():
    student = make_student(norm=nn.BatchNorm2d)
    objective = teach(student, given())
    wrapped = Fabric(accelerator="cpu", devices=1).setup(student)
    with torch.no_grad():
        student[0].weight += 1
    assert all(value.isfinite() for value in terms_of(objective, wrapped).values())
    objective.after_step(wrapped, 0)  # the first average is the student itself
    found, expected = objective.teacher.state_dict(), student.state_dict()
    assert expected["1.running_mean"].any()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_entropy_of_a_uniform_prediction_is_ln_k_and_of_a_sure_one_0():
    logits = torch.tensor([[0.0, 0, 0, 0, 0], [0, 200, 0, 0, 0]])
    expected = torch.tensor([[math.log(5)], [0]])
    torch.testing.assert_close(predictive_entropy(logits.softmax(1)), expected)


def test_uncertainty_is_the_entropy_of_the_mean_not_the_mean_of_entropies():
    torch.manual_seed(0)

    def waver(image):  # every pass is sure of a class, their mean of none
        coin = 200.0 * (torch.rand(image.shape) < 0.5) - 100
        return torch.cat([image * 0, coin], 1)

    image, params = torch.zeros(2, 1, 8, 8), given(passes=400)
    found, uncertainty = predict_by_teacher(Function(waver), image, params, torch.Generator())
    assert predictive_entropy(found).max() < 1e-6
    assert uncertainty.min() > 0.95 * math.log(2)


def test_uncertain_voxels_do_not_count():
    student = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).T[None]  # (1, K, voxels)
    teacher = torch.tensor([[0.7, 0.3], [0.0, 1.0]]).T[None]
    first, both, none = (torch.tensor([[c]]) for c in ([1, 0], [1, 1], [0, 0]))
    assert consistency_loss(student, teacher, first).item() == pytest.approx(0.04)
    assert consistency_loss(student, teacher, both).item() == pytest.approx((0.04 + 0.25) / 2)
    assert consistency_loss(student, teacher, none).item() == 0


@pytest.mark.parametrize("classes", [2, 3])
def test_the_threshold_rises_from_three_quarters_of_ln_k_to_ln_k(classes):
    # Two voxels: the teacher is sure of one; the other's entropy is 90 % of ln K.
    logit = torch.linspace(0, 10, 100_001)
    logits = torch.stack([logit] + [torch.zeros_like(logit)] * (classes - 1), 1)
    entropies = predictive_entropy(logits.softmax(1))[:, 0]
    doubtful = logits[(entropies - 0.9 * math.log(classes)).abs().argmin()]
    sure = 50 * F.one_hot(torch.tensor(0), classes)
    image = torch.stack([sure, doubtful], 1)[None, :, None]  # (1, K, 1, 2)
    batch = PatchBatch(image, torch.zeros(1, 1, 1, 2, dtype=torch.long), torch.ones(1, 1, 1, 2))
    params = given(noise=0, ramp_up=0)
    echo, opposite = Function(lambda image: image), Function(torch.neg)
    objective = MeanTeacher(echo, lambda rng: (batch, batch), params, STEPS, cross_entropy)
    squared = ((-image).softmax(1) - image.softmax(1)).square().mean(1).flatten()
    early, late = (terms_of(objective, opposite, t)["consistency"] for t in (0, STEPS))
    torch.testing.assert_close(early, squared[0])
    torch.testing.assert_close(late, squared.mean())


def test_noise_is_gaussian_and_clipped_at_two_deviations():
    noise = add_noise(torch.zeros(1, 1, 100, 100), 0.1, torch.Generator().manual_seed(0))
    assert noise.abs().max().item() == pytest.approx(0.2)
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert (noise.abs() < 0.1).float().mean().item() == pytest.approx(0.683, abs=0.02)


def test_equal_networks_agree_without_dropout_and_noise():
    student = make_student(dropout=0)
    objective = teach(student, given(noise=0))
    torch.testing.assert_close(terms_of(objective, student)["consistency"], torch.tensor(0.0))
    with torch.no_grad():
        student[4].weight.mul_(-1)
    assert terms_of(objective, student)["consistency"] > 1e-4


def test_student_and_every_pass_see_noise_of_their_own():
    few, other = draw(np.random.default_rng(0))
    seen = {}

    def watched(name):
        network = make_student()
        network.register_forward_pre_hook(lambda _, inputs: seen.update({name: inputs[0]}))
        return network

    params = given(passes=3)
    teacher = watched("teacher")
    objective = MeanTeacher(teacher, lambda rng: (few, other), params, STEPS, cross_entropy)
    noises = []
    for seed in (0, 1):
        terms_of(objective, watched("student"), seed=seed)
        assert torch.equal(seen["student"][:2], few.image)
        inputs = [seen["student"][2:], *seen["teacher"].split(3)]
        assert len(inputs) == 1 + 1 + params.passes
        noises += [given_to - other.image for given_to in inputs]
    drawn = torch.stack(noises).flatten(1)
    assert drawn.abs().max() < 0.2 + 1e-6
    off_diagonal = torch.corrcoef(drawn).fill_diagonal_(0)
    assert off_diagonal.abs().max() < 0.2  # 768 voxels: a standard deviation of 0.04


def test_consistency_moves_the_student_and_not_the_teacher():
    student = make_student()
    objective = teach(student, given())
    before = copy.deepcopy(list(objective.teacher.parameters()))
    terms_of(objective, student)["consistency"].backward()
    assert all(p.grad is not None and p.grad.any() for p in student[4].parameters())
    for parameter, old in zip(objective.teacher.parameters(), before, strict=True):
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert torch.equal(parameter, old)


def test_the_teacher_keeps_its_dropout():
    params, image = given(noise=0), torch.ones(2, 1, 16, 16)
    teacher = teach(make_student().eval(), params).teacher
    first, second = (
        predict_by_teacher(teacher, image, params, torch.Generator())[0] for _ in range(2)
    )
    assert not torch.equal(first, second)


def test_unlabelled_slices_do_not_matter_without_consistency():
    student = make_student()
    few = discs(2, np.random.default_rng(5))

    def gradients(brightness):
        def drawn(rng):
            other = discs(3, rng)
            return few, PatchBatch(other.image * brightness, other.label, other.weight)

        student.zero_grad()
        terms = terms_of(teach(student, given(consistency=0), drawn), student)
        assert terms["consistency"] == 0
        sum(terms.values()).backward()
        return [p.grad.clone() for p in student.parameters()]

    for first, second in zip(gradients(1), gradients(-3), strict=True):
        torch.testing.assert_close(first, second)


def test_same_seeds_same_terms():
    student = make_student()
    objective = teach(student, given())
    first, again, other = (terms_of(objective, student, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["consistency"] != other["consistency"]


def test_a_resumed_run_ends_as_one_never_interrupted():
    def start():
        student = make_student()
        optimiser = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
        return teach(student, given()), student, optimiser

    whole = start()
    train(*whole, epochs=range(4))
    first = start()
    train(*first, epochs=range(2))
    resumed = start()
    resumed[0].restore(copy.deepcopy(first[0].state()))
    for part, old in zip(resumed[1:], first[1:], strict=True):
        part.load_state_dict(copy.deepcopy(old.state_dict()))
    train(*resumed, epochs=range(2, 4))
    for module in (lambda run: run[0].teacher, lambda run: run[1]):
        ends = [module(run).state_dict() for run in (whole, resumed)]
        assert ends[0].keys() == ends[1].keys()
        assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_few_labels_and_many_slices_teach_both_networks_the_discs():
    student = make_student()
    few = discs(2, np.random.default_rng(1))
    params = given(consistency=0.2, decay=0.9)
    objective = teach(student, params, partial(draw, few=few))
    optimiser = torch.optim.SGD(student.parameters(), lr=0.2, momentum=0.9)
    losses = train(objective, student, optimiser, epochs=range(8))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    unseen = discs(20, np.random.default_rng(2))
    for network in (student, objective.teacher):
        found = network.eval()(unseen.image).argmax(1, keepdim=True)
        overlap = 2 * (found * unseen.label).sum() / (found.sum() + unseen.label.sum())
        assert overlap > 0.9


@pytest.mark.parametrize(("fraction", "unlabelled"), [(0.5, 12), (0.25, 4), (0.01, 1), (0.75, 36)])
def test_a_step_sees_as_many_labelled_patches_as_that_of_any_other_engine(fraction, unlabelled):
    drawn = []

    def drawer(count, rng, labelled=True):
        drawn.append((labelled, count))
        return discs(count, rng)

    optimisation = SimpleNamespace(batch=12, epochs=1, steps_per_epoch=1)
    setting = SimpleNamespace(params=SimpleNamespace(optimisation=optimisation))
    params = given(unlabelled_fraction=fraction)
    objective = with_mean_teacher(params, drawer, None, make_student(), setting)
    objective.draw(np.random.default_rng(0))
    assert drawn == [(True, 12), (False, unlabelled)]

import numpy as np
import pytest

from slicefill.tuning.best import tabulate_trials
from slicefill.tuning.folds import make_folds
from slicefill.tuning.objectives import measure_labels
from slicefill.tuning.study import search

ALL = ["psnr", "ssim", "label_dice", "label_volume_bias", "downstream_dice"]


def test_every_objective_is_measured_on_real_trainings(begin, unwatched):
    study, validation = begin(objectives=ALL, trials=1)
    search(study, validation, unwatched)
    (trial,) = study.trials
    found = dict(zip(ALL, trial.values, strict=True))
    assert 10 < found["psnr"] < 60
    assert 0.5 < found["label_dice"] <= 1  # discs that overlap from slice to slice
    assert 0 <= found["label_volume_bias"] < 0.5
    assert 0 <= found["ssim"] <= 1
    assert 0 <= found["downstream_dice"] <= 1
    assert {name: len(own) for name, own in trial.user_attrs["folds"].items()} == dict.fromkeys(
        ALL, 2
    )
    assert set(ALL) <= set(tabulate_trials(study).columns)


def test_labels_are_scored_by_what_lies_between_the_slices_left_in(
    cases, splits, scorer, monkeypatch
):
    """Imputation that repeats the slice before: its Dice is that of neighbouring slices."""
    from slicefill.imputation.imputers import Imputer
    from slicefill.tuning import objectives
    from slicefill.types import SyntheticSlices

    def repeat(stack, positions, _):
        image = stack.image[:-1][:, None].repeat(len(positions), 1)
        label = stack.label[:-1][:, None].repeat(len(positions), 1)
        return SyntheticSlices(image, np.ones(label.shape, np.float32), label)

    imputer = Imputer("repeat", "repeat", repeat, scorer.imputation.window, "")
    monkeypatch.setattr(objectives, "learned_imputer", lambda *_: imputer)
    fold = make_folds(cases, splits)[0]  # holds out case a alone
    label = cases["a"].make().label.stored
    pairs = [(label[..., k], label[..., k + 1]) for k in (0, 2)]  # 0 and 2 stay, 1 and 3 are made
    before, real = (np.stack(side) > 0 for side in zip(*pairs, strict=True))
    dice = 2 * (before & real).sum() / (before.sum() + real.sum())
    found = measure_labels({}, fold, scorer)
    assert found["label_dice"] == pytest.approx(dice)
    bias = abs(before.sum() - real.sum()) / real.sum()
    assert found["label_volume_bias"] == pytest.approx(bias)


def test_cases_without_labels_are_refused_with_what_to_do(cases, splits, scorer, monkeypatch):
    from dataclasses import replace

    from slicefill.tuning import objectives
    from slicefill.types import Promise

    bare = {
        name: Promise(lambda made=promise: replace(made.make(), label=None), name)
        for name, promise in cases.items()
    }
    monkeypatch.setattr(objectives, "learned_imputer", lambda *_: None)
    with pytest.raises(ValueError, match="tune for psnr or ssim instead"):
        measure_labels({}, make_folds(bare, splits)[0], scorer)


def test_an_unknown_objective_is_refused_with_those_that_exist(begin):
    with pytest.raises(ValueError, match=r"tuning\.objectives: expected psnr, .*got prsn"):
        begin(objectives=["prsn"])

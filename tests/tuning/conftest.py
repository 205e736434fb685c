"""What the tuning tests share: discs that move from slice to slice, and a small search on them."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from slicefill.imputation.methods import find_method
from slicefill.params import (
    AugmentationParams,
    EvaluationParams,
    ImputationParams,
    SegmentationParams,
    TuningParams,
)
from slicefill.tuning.folds import make_folds
from slicefill.tuning.objectives import TrialScorer
from slicefill.tuning.space import apply_values
from slicefill.tuning.study import name_study, open_study, set_up_validation
from slicefill.types import Case, Promise

NAMES = {0: "background", 1: "disc"}
SPACE = {
    "weights.warp": {"low": 0.01, "high": 1.0, "log": True},
    "optimisation.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
}
SPLITS = pd.DataFrame(
    {
        "case": ["a", "b", "c", "tested"],
        "subject": ["p", "q", "q", "t"],
        "split": ["train", "train", "validation", "test"],
        "fold": [0, 1, 1, 0],
    }
)


@pytest.fixture(scope="session")
def splits():
    return SPLITS


@pytest.fixture(scope="session")
def cases(volume):
    """Promises of three cases with labels; the test subject's must not be read."""

    def make(seed):
        rng = np.random.default_rng(seed)
        rows, columns = np.indices((24, 24))
        centres = rng.uniform(8, 10) + 2 * np.arange(5)
        distance = [np.hypot(rows - rng.uniform(11, 12), columns - c) for c in centres]
        shown = np.clip(6.5 - np.stack(distance, axis=2), 0, 1)
        affine = np.diag([1.0, 1.0, 4.0, 1.0])
        image = volume((900 * shown).astype(np.int16), affine)
        return Case(image, volume((shown > 0.5).astype(np.uint8), affine))

    promised = {name: Promise(lambda k=k: make(k), name) for k, name in enumerate("abc")}
    return promised | {"tested": Promise(lambda: pytest.fail("a test subject was read"), "t")}


@pytest.fixture(scope="session")
def params(tiny_parameters):
    """Training parameters of conf/tiny without critics, across slices alone."""
    chosen = find_method("si_without_gd_ld", tiny_parameters).params
    changes = {"groups.in_plane": 0.0, "groups.crop": (16, 16), "hardware.precision": "32-true"}
    return apply_values(chosen, changes)


@pytest.fixture(scope="session")
def tuning(configuration):
    """Parameters as in conf/base for a small search, with changes."""
    small = {
        "storage": None,
        "space": SPACE,
        "start": ["practical"],
        "overrides": {"optimisation.epochs": 1, "optimisation.groups_per_epoch": 4},
        "trials": 3,
        "startup_trials": 2,
        "pruner": "none",
        "warmup_epochs": 1,
    }
    base = configuration()["parameters"]["tuning"]
    return lambda **changes: TuningParams(**{**base, **small, **changes})


@pytest.fixture(scope="session")
def scorer(configuration):
    """How trials are scored, with the numbers of conf/tiny."""
    values = configuration("tiny")["parameters"]
    optimisation = {**values["segmentation"]["optimisation"], "epochs": 1, "steps_per_epoch": 2}
    segmentation = {"label_names": NAMES, "optimisation": optimisation}
    return TrialScorer(
        ImputationParams(**{**values["imputation"], "through_plane": "auto"}),
        EvaluationParams(**{**values["evaluation"], "label_names": NAMES}),
        SegmentationParams(**{**values["segmentation"], **segmentation}),
        AugmentationParams(**{**values["augmentation"], "through_plane": "auto"}),
        "unet2d",
    )


@pytest.fixture
def begin(cases, params, tuning, scorer, tmp_path):
    """Open a study on the discs and return it with its validation."""

    def make(**changes):
        asked, folds = tuning(**changes), make_folds(cases, SPLITS)
        validation = set_up_validation(folds, params, asked, scorer)
        name = name_study(folds, params, asked, scorer)
        return open_study(str(tmp_path / "tuning" / "journal.log"), name, validation), validation

    return make


@pytest.fixture(scope="session")
def unwatched():
    """Report nothing."""

    @contextmanager
    def watch(number, values):
        yield lambda prefix: lambda metrics, step: None

    return watch

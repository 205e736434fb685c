"""A method is one file and one entry: written here, run by the nodes of the pipelines."""

import sys
from textwrap import dedent

import numpy as np
import pytest

from slicefill.datasets.checkpoints import ModelsDataset, StateFiles
from slicefill.imputation import methods
from slicefill.params import SERIAL
from slicefill.pipelines.imputation.nodes import impute_cases, verify_imputed
from slicefill.pipelines.synthesis.nodes import record_history, train_models

DRAWN = """
    import numpy as np
    from slicefill.params.base import Count, Params as BaseParams
    from slicefill.types import SyntheticSlices

    class Params(BaseParams):
        samples: Count

    def load(params, checkpoint, imputation):
        def impute(stack, positions, rng):
            shape = (len(stack.image) - 1, len(positions), *stack.image.shape[1:])
            drawn = [rng.integers(0, 100, shape).astype(np.float32) for _ in range(params.samples)]
            confidence = np.full((*shape[:2], *shape[3:]), 0.5, np.float32)
            return SyntheticSlices(np.mean(drawn, 0), confidence, samples=drawn)
        return impute
"""
LEARNED = """
    import numpy as np
    from slicefill.fingerprint import fingerprint
    from slicefill.params.base import Params as BaseParams
    from slicefill.types import SyntheticSlices

    class Params(BaseParams):
        scale: float

    def training_fingerprint(data, params):
        return fingerprint(params, sorted(data.acquired))

    def train(data, params, run):
        import torch
        made = next(iter(data.acquired.values())).make()
        level = params.scale * float(made.image.stored.mean())
        run.report({"level": level}, 1)
        return {
            "kind": "learned",
            "weights": {"level": torch.tensor([level])},
            "window": {"kind": "percentile", "low": 0, "high": 100},
            "history": [{"epoch": 1, "term": "level", "value": level}],
            "version": "0",
        }

    def load(params, checkpoint, imputation):
        level = float(checkpoint["weights"]["level"])
        def impute(stack, positions, rng):
            shape = (len(stack.image) - 1, len(positions), *stack.image.shape[1:])
            confidence = np.ones((*shape[:2], *shape[3:]), np.float32)
            return SyntheticSlices(np.full(shape, level, np.float32), confidence)
        return impute
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the kind, with two files more."""
    for name, text in {"drawn": DRAWN, "learned": LEARNED}.items():
        (tmp_path / f"{name}.py").write_text(dedent(text))
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    yield
    for name in ("drawn", "learned"):
        sys.modules.pop(f"{methods.FOLDER}.{name}", None)
        methods.__dict__.pop(name, None)


@pytest.fixture
def parameters(tiny_parameters):
    entries = {
        "two_samples": {"kind": "drawn", "samples": 2},
        "one_sample": {"kind": "drawn", "samples": 1},
        "level": {"kind": "learned", "scale": 0.5},
    }
    return {**tiny_parameters, "methods": tiny_parameters["methods"] | entries}


@pytest.fixture
def impute(acquired_case, splits, imputation_params, parameters):
    def make(names, models=None, **changes):
        rule = imputation_params(through_plane="auto", count=2, **changes)
        return impute_cases(acquired_case, splits, models or {}, names, rule, parameters, {}, {})

    return make


def test_samples_are_written_beside_the_image_and_follow_from_seed_and_case(impute, acquired_case):
    imputed, names = impute(["two_samples", "one_sample"])
    assert names == ["two_samples", "one_sample"]
    made = imputed["two_samples/b"].make()
    assert set(made.maps) == {"synthetic_mask", "confidence", "sample_1", "sample_2"}
    source = acquired_case["b"].make().image.stored
    for volume in (made.image, *(made.maps[f"sample_{n}"] for n in (1, 2))):
        np.testing.assert_array_equal(volume.stored[..., ::3], source)
        assert volume.stored.dtype == source.dtype
    first, second = (made.maps[f"sample_{n}"].stored for n in (1, 2))
    assert (first != second).any()
    again = impute(["two_samples"])[0]["two_samples/b"].make()
    np.testing.assert_array_equal(again.maps["sample_2"].stored, second)
    other = impute(["two_samples"], seed=1)[0]["two_samples/b"].make()
    assert (other.maps["sample_2"].stored != second).any()
    neighbour = impute(["two_samples"])[0]["two_samples/c"].make()
    assert (neighbour.maps["sample_2"].stored != second).any()
    assert verify_imputed(imputed, acquired_case, names, SERIAL)["passed"].all()


def test_what_learns_is_trained_kept_and_used(
    impute, acquired_case, splits, parameters, tmp_path, caplog
):
    models = ModelsDataset(path=str(tmp_path / "models"))
    given = (acquired_case, {}, splits, StateFiles(tmp_path / "last"), {})
    models.save(train_models(*given, ["linear", "level"], parameters))
    made = impute(["level"], models.load())[0]["level/b"].make()
    level = 0.5 * acquired_case["a"].make().image.stored.mean()
    assert np.unique(made.image.stored[..., 1]).tolist() == [round(level)]
    assert (made.record["method"], made.record["weights"]) == ("level", "own")
    history = record_history(models.load(), ["level"], parameters)
    assert history["value"].tolist() == [pytest.approx(level)]
    models.save(train_models(*given, ["level"], parameters))  # is there already
    assert not [one for one in caplog.messages if "failed" in one]


def test_before_it_is_trained_the_shipped_weights_stand_in(impute):
    assert impute(["level"])[1] == ["pretrained"]

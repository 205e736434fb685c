import pandas as pd
import pytest

from slicefill.datasets.checkpoints import StateFiles
from slicefill.imputation.methods import slice_imputation as module
from slicefill.pipelines.synthesis.nodes import record_history, train_models
from slicefill.types import Promise

SPLITS = pd.DataFrame(
    {
        "case": list("abcd"),
        "subject": list("abcd"),
        "split": ["train", "train", "validation", "test"],
    }
)


def promises(names):
    return {name: Promise(lambda: pytest.fail("read"), name) for name in names}


@pytest.fixture
def train_all(tmp_path, tiny_parameters):
    def make(cases, names=("linear", "slice_imputation"), **changes):
        parameters = {**tiny_parameters, **changes}
        given = promises(cases)
        return train_models(given, given, SPLITS, StateFiles(tmp_path), {}, list(names), parameters)

    return make


def test_what_learns_is_trained_when_it_is_saved_and_what_does_not_is_not(
    train_all, tmp_path, monkeypatch
):
    seen = {}

    def train(data, params, run):
        seen.update(cases=list(data.acquired), imputed=list(data.imputed), store=run.store)
        return {"epoch": 1}

    monkeypatch.setattr(module, "train", train)
    models = train_all("acd")
    assert seen == {}
    assert list(models) == ["slice_imputation"]
    assert models["slice_imputation"].make() == {"epoch": 1}
    store = StateFiles(tmp_path)["slice_imputation"]
    assert seen == {"cases": ["a", "c", "d"], "imputed": ["d"], "store": store}


def test_other_cases_or_parameters_give_another_fingerprint(train_all, tiny_parameters):
    def own(cases, **changes):
        (promise,) = train_all(cases, **changes).values()
        return promise.fingerprint

    mine = own("abcd")
    wider = {**tiny_parameters["synthesis"], "critic_width": 99}
    assert mine == own("abc")  # the test case has no part in it
    assert len({mine, own("acd"), own("abcd", synthesis=wider)}) == 3


def test_an_entry_says_what_differs_from_the_section(train_all):
    models = train_all("abcd", names=["slice_imputation", "iia", "si_refined", "edsr"])
    assert len({promise.fingerprint for promise in models.values()}) == 4


def test_without_a_validation_subject_it_is_said_what_to_do(train_all):
    with pytest.raises(ValueError, match=r"ingestion\.split: expected cases .* in validation"):
        train_all("abd")


def test_the_history_is_that_of_the_named_methods(tiny_parameters):
    rows = [{"epoch": 1, "term": "rec", "value": 0.5}]
    models = {
        "slice_imputation": lambda: {"history": rows},
        "another": lambda: pytest.fail("read"),
    }
    names = ["linear", "slice_imputation", "iia"]
    table = record_history(models, names, tiny_parameters)
    assert table.to_dict("records") == [{"model": "slice_imputation", **rows[0]}]


def test_where_every_training_failed_the_run_says_so(tiny_parameters):
    with pytest.raises(ValueError, match="the training of iia failed"):
        record_history({}, ["linear", "iia"], tiny_parameters)
    assert record_history({}, ["linear"], tiny_parameters).empty

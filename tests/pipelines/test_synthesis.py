import pandas as pd
import pytest

from slicefill.datasets.checkpoints import States
from slicefill.imputation.methods.slice_imputation import train as module
from slicefill.pipelines.synthesis.nodes import record_history, train_synthesis
from slicefill.types import Promise

SPLITS = pd.DataFrame(
    {"case": ["a", "b", "c", "d"], "split": ["train", "train", "validation", "test"]}
)


def promises(names):
    return {name: Promise(lambda: pytest.fail("read"), name) for name in names}


@pytest.fixture
def states(tmp_path):
    return States(tmp_path)


def test_training_sees_no_test_case_and_no_case_that_failed(synthesis_params, states, monkeypatch):
    acquired_case = promises("acd")
    seen = {}

    def train(data, params, run):
        seen.update(training=list(data.training), validation=list(data.validation))
        seen["slot"] = run.store
        return {"epoch": 1}

    monkeypatch.setattr(module, "train", train)
    models = train_synthesis(acquired_case, SPLITS, states, {}, synthesis_params)
    assert seen == {}  # nothing is trained before it is saved
    assert models[synthesis_params.variant].make() == {"epoch": 1}
    store = states[synthesis_params.variant]
    assert seen == {"training": ["a"], "validation": ["c"], "slot": store}
    assert list(models) == [synthesis_params.variant]


def test_other_cases_or_parameters_give_another_fingerprint(synthesis_params, states):
    def mark(cases, params):
        (promise,) = train_synthesis(promises(cases), SPLITS, states, {}, params).values()
        return promise.fingerprint

    mine = mark("abcd", synthesis_params)
    wider = synthesis_params.model_copy(update={"critic_width": 99})
    assert mine == mark("abc", synthesis_params)  # the test case has no part in it
    assert len({mine, mark("acd", synthesis_params), mark("abcd", wider)}) == 3


def test_the_history_is_that_of_the_chosen_variant(synthesis_params):
    rows = [{"epoch": 1, "term": "rec", "value": 0.5}]
    models = {
        synthesis_params.variant: lambda: {"history": rows},
        "another": lambda: pytest.fail("read"),
    }
    assert record_history(models, synthesis_params).to_dict("records") == rows


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_too_few_scans_to_train_on_are_refused_with_what_to_do(synthesis_params, states, missing):
    splits = SPLITS[SPLITS["split"] != missing]
    with pytest.raises(ValueError, match=rf"in {missing}, got .*'test': 1.*=imputation"):
        train_synthesis(promises("abcd"), splits, states, {}, synthesis_params)

import pandas as pd
import pytest

from slicefill.pipelines.synthesis.nodes import train_synthesis
from slicefill.synthesis import train as module
from slicefill.types import Promise

SPLITS = pd.DataFrame(
    {"case": ["a", "b", "c", "d"], "split": ["train", "train", "validation", "test"]}
)


def test_training_sees_no_test_case_and_no_case_that_failed(synthesis_params, monkeypatch):
    thick = {name: Promise(lambda: pytest.fail("read"), name) for name in "acd"}
    seen = {}

    def train(data, params, run):
        seen.update(training=list(data.training), validation=list(data.validation))
        return {"history": [{"epoch": 1, "term": "rec", "value": 0.5}], "weights": {}}

    monkeypatch.setattr(module, "train", train)
    models, history = train_synthesis(thick, SPLITS, None, synthesis_params)
    assert seen == {"training": ["a"], "validation": ["c"]}
    assert list(models) == [synthesis_params.variant]
    assert history.to_dict("records") == [{"epoch": 1, "term": "rec", "value": 0.5}]


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_too_few_scans_to_train_on_are_refused_with_what_to_do(synthesis_params, missing):
    splits = SPLITS[SPLITS["split"] != missing]
    thick = {name: Promise(lambda: pytest.fail("read"), name) for name in "abcd"}
    with pytest.raises(ValueError, match=rf"in {missing}, got .*'test': 1.*methods=\[linear\]"):
        train_synthesis(thick, splits, None, synthesis_params)

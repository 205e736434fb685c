"""What a metric declares is checked where it is declared, and what it computes where it is used."""

from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest

from slicefill import metrics
from slicefill.metrics import Metric, list_metrics
from slicefill.metrics.sets import describe_case, description, score_set

HEADER = "from slicefill.metrics import Metric\n"


def metric(name="mine", **changes):
    given = {"compute": lambda *_: 1.0, "label": "mine", "of": ("images",), "better": "higher"}
    return Metric(name, **{**given, "ideal": 1.0, **changes})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"of": ("image",)}, "of: expected .*images.*got"),
        ({"of": "images"}, "of: expected"),
        ({"better": "smaller"}, "better: expected .*lower"),
        ({"per": "scan"}, "per: expected"),
        ({"per": "set", "describe": lambda *_: 1.0}, "describe: expected a function with a name"),
    ],
)
def test_what_is_misspelt_is_refused(changes, told):
    with pytest.raises(ValueError, match=f"metric mine: {told}"):
        metric(**changes)


@pytest.mark.parametrize("wrong", [None, np.ones(2), (1.0, 2.0), "1"])
def test_what_is_no_number_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match="metric mine: expected compute to return a number"):
        metric(compute=lambda *_: wrong).measure()
    assert metric(compute=lambda *_: np.float32(2)).measure() == 2.0


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Add a file to the folder of metrics."""

    def add(name, text):
        (tmp_path / f"{name}.py").write_text(HEADER + dedent(text))
        monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])

    return add


@pytest.mark.parametrize("name", ["psnr", "psnr_body"])
def test_a_column_that_is_taken_is_refused(declare, name):
    declare(f"taken_{name}", f'METRICS = (Metric("{name}", min, "x", ("images",), "lower", 0.0),)')
    with pytest.raises(ValueError, match=f"there is another metric {name}: rename one"):
        list_metrics()


def test_functions_of_one_name_in_two_files_keep_what_each_says(declare, monkeypatch):
    """Whoever copies the example of the guide has another `moments`."""
    for name, value in (("first", 1.0), ("second", 100.0)):
        declare(
            f"sum_{name}",
            f"""
            def moments(pair, mask):
                return {value}

            METRICS = (
                Metric("sum_{name}", sum, "sum", ("images",), "lower", 0.0, per="set",
                       describe=moments),
            )
            """,
        )
    own = {each.name: description(each, "body") for each in list_metrics(per="set")}
    assert own["sum_first"] != own["sum_second"]

    only = [each for each in list_metrics(per="set") if each.name.startswith("sum_")]
    monkeypatch.setattr("slicefill.metrics.sets.list_set_metrics", lambda requested=(): only)
    kept = describe_case([SimpleNamespace(masks={"body": np.ones(1, bool)})], {})
    scores = score_set({"a": [kept], "b": [kept]}, {})
    assert scores == {"sum_first_body": 2.0, "sum_second_body": 200.0}

"""`kedro run` of the project: its options, and what it says when something is wrong."""

import click
import pytest
from kedro.io import AbstractDataset, DatasetError
from pydantic import BaseModel

from slicefill.cli import is_mendable, known_pipelines, split_params
from slicefill.plugins import find_kind


def parse(text):
    return split_params(click.Context(click.Command("run")), click.Option(["--params"]), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("seed=1", {"seed": 1}),
        ("a=1, b.c=x", {"a": 1, "b": {"c": "x"}}),
        (
            "imputation.methods=[cubic,pretrained]",
            {"imputation": {"methods": ["cubic", "pretrained"]}},
        ),
        ("m=[a,b],seed=2", {"m": ["a", "b"], "seed": 2}),
        (
            "m=[[1,2],[3,4]],w={low: 1, high: 2}",
            {"m": [[1, 2], [3, 4]], "w": {"low": 1, "high": 2}},
        ),
        ("storage=postgresql://u@h/n?a=b", {"storage": "postgresql://u@h/n?a=b"}),
        ("c=null,t=1.0", {"c": None, "t": 1.0}),
    ],
)
def test_a_comma_inside_brackets_divides_a_list(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["seed", "=1", "a=1,b", "a=[1,b=2", "a=[1,2]],b=1"])
def test_what_is_no_parameter_is_refused(text):
    with pytest.raises(click.BadParameter, match="expected"):
        parse(text)


def test_a_mapping_of_a_configuration_file_is_taken_as_it_is():
    assert parse({"seed": 1}) == {"seed": 1}


def test_an_unknown_pipeline_is_refused_with_those_there_are():
    option = click.Option(["--pipelines"])
    assert known_pipelines(None, option, "imputation, study") == ["imputation", "study"]
    with pytest.raises(click.BadParameter, match=r"imputation, .* got 'imputaton'"):
        known_pipelines(None, option, "imputaton")


def raised(work):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        work()
    return caught.value


class Broken(AbstractDataset):
    def __init__(self, error):
        self._error = error

    def load(self):
        raise self._error

    def save(self, data):
        raise NotImplementedError

    def _describe(self):
        return {}


def test_an_error_in_our_words_is_for_the_user_and_a_bug_is_not():
    assert is_mendable(raised(lambda: find_kind("slicefill.fusion", "none_such")))
    assert is_mendable(raised(lambda: open("/none/such")))  # noqa: PTH123, SIM115
    assert is_mendable(raised(type("M", (BaseModel,), {"__annotations__": {"a": int}})))
    assert not is_mendable(raised(lambda: int("x")))
    assert not is_mendable(raised(lambda: {}["x"]))
    assert is_mendable(raised(Broken(DatasetError("set it")).load))
    assert is_mendable(raised(Broken(ValueError("damaged")).load))
    assert not is_mendable(raised(Broken(TypeError("a bug")).load))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--params=facter=5",), "Error: --params facter=5: expected one of axis"),
        (("--params=exact=true",), "got exact; perhaps imputation.exact"),
        (("--params=synthesis.optimisation.lr=5",), "Extra inputs are not permitted"),
        (("--pipelines=imputaton",), "got 'imputaton'"),
        (("--env=tinny",), "expected one of base, "),
    ],
)
def test_what_the_user_can_mend_is_told_without_a_traceback(project, kedro, arguments, said):
    done = kedro(project, "run", "--env=tiny", *arguments)
    told = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert said in told
    assert "Traceback" not in told
    assert len(told.splitlines()) <= 6


def test_the_traceback_is_shown_if_asked_for(project, kedro):
    wrong = ("run", "--env=tiny", "--params=facter=5")
    for done in (
        kedro(project, *wrong, "--verbose"),
        kedro(project, *wrong, SLICEFILL_TRACEBACK="1"),
    ):
        assert done.returncode == 1
        assert "Traceback" in done.stdout + done.stderr

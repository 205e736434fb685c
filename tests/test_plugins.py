"""The seam by which `conf/` names systems: one file of its kind and one entry each."""

import pickle
import sys
from textwrap import dedent

import pytest

from slicefill import plugins
from slicefill.imputation.methods import find_method
from slicefill.plugins import find_kind, find_system, list_kinds

FOLDER = "systems_of_a_kind"
SYSTEM = """
    from slicefill.params.base import Count, Params as BaseParams

    class Params(BaseParams):
        depth: Count
        inner: dict[str, int] = {}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A kind with the systems `plain` and `shared`, the latter with a section."""
    files = {"__init__": "", "plain": SYSTEM, "shared": f'{SYSTEM}\n    SECTION = "common"\n'}
    package = tmp_path / FOLDER
    package.mkdir()
    for name, text in files.items():
        (package / f"{name}.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [one for one in sys.modules if one.partition(".")[0] in (FOLDER, "mine")]:
        del sys.modules[name]


def test_every_file_of_the_folder_is_a_kind_without_a_list(folder):
    assert list_kinds(FOLDER) == ["plain", "shared"]
    (folder / "third.py").write_text(dedent(SYSTEM))
    assert list_kinds(FOLDER) == ["plain", "shared", "third"]
    assert find_system(FOLDER, "things.a", {"kind": "third", "depth": 2}).params.depth == 2


def test_an_unknown_kind_is_refused_with_those_that_exist():
    with pytest.raises(
        ValueError, match=r"^things\.a\.kind: expected one of plain, shared, got 'x'"
    ):
        find_system(FOLDER, "things.a", {"kind": "x"})
    with pytest.raises(ValueError, match="got None"):
        find_system(FOLDER, "things.a", {"depth": 1})
    with pytest.raises(ValueError, match=r"^kind: expected one of plain, shared, got 'x'"):
        find_kind(FOLDER, "x")


def test_a_kind_with_dots_is_a_module_of_ones_own(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(dedent(SYSTEM))
    system = find_system(FOLDER, "things.a", {"kind": "mine.own", "depth": 3})
    assert (system.name, system.kind, system.params.depth) == ("a", "mine.own", 3)


def test_a_module_of_ones_own_that_cannot_be_imported_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^things\.a\.kind: .*'mine\.none'.*PYTHONPATH"):
        find_system(FOLDER, "things.a", {"kind": "mine.none"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "wrong.py").write_text("def :\n")
    with pytest.raises(ValueError, match=r"^things\.a\.kind: .*wrong\.py, line 1"):
        find_system(FOLDER, "things.a", {"kind": "mine.wrong"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a class Params"),
        ("Params = dict", "expected a class Params"),
        (SYSTEM, "expected a function make"),
        (SYSTEM + "    def make(): ...\n    def train(): ...", "training_fingerprint beside train"),
    ],
)
def test_a_file_that_lacks_what_its_kind_needs_is_refused(folder, monkeypatch, text, told):
    monkeypatch.setitem(plugins.NEEDED, FOLDER, ("make",))
    (folder / "third.py").write_text(dedent(text))
    with pytest.raises(ValueError, match=rf"^things\.a \(kind third\): .*{told}.*third\.py"):
        find_system(FOLDER, "things.a", {"kind": "third", "depth": 1})


def test_an_entry_that_is_text_alone_is_refused():
    with pytest.raises(ValueError, match=r"^things\.a: .*\{kind: plain\}, got 'plain'"):
        find_system(FOLDER, "things.a", "plain")


@pytest.mark.parametrize("entry", [{"depth": 0}, {}, {"depth": 1, "dept": 1}])
def test_an_entry_that_does_not_fit_is_refused_by_name(entry):
    with pytest.raises(ValueError, match=r"^things\.a \(kind plain\): dep"):
        find_system(FOLDER, "things.a", {"kind": "plain", **entry})


def test_an_entry_takes_from_its_section_what_it_does_not_set():
    sections = {"common": {"depth": 4, "inner": {"a": 1, "b": 2}}, "other": {"depth": 9}}
    params = find_system(FOLDER, "t.a", {"kind": "shared", "inner": {"b": 3}}, sections).params
    assert (params.depth, params.inner) == (4, {"a": 1, "b": 3})
    assert sections["common"]["inner"] == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="depth"):
        find_system(FOLDER, "t.a", {"kind": "plain"}, sections)


def test_a_misspelt_field_of_a_section_is_refused_with_its_name():
    with pytest.raises(ValueError, match=r"and section common: dept: Extra inputs"):
        find_system(FOLDER, "t.a", {"kind": "shared"}, {"common": {"depth": 1, "dept": 1}})


def test_what_a_kind_leaves_open_can_be_asked_for():
    system = find_system(FOLDER, "t.a", {"kind": "plain", "depth": 1})
    assert system.has("Params")
    assert not system.has("train")


def test_a_system_can_be_sent_to_a_worker(configuration):
    system = find_method("linear", configuration()["parameters"])
    assert pickle.loads(pickle.dumps(system)) == system

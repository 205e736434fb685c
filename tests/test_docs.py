"""The documentation: links lead to files, commands name what exists, the site is complete."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from slicefill.cli import run as kedro_run
from slicefill.cli import split_items

from .conftest import ROOT
from .test_params import ENVIRONMENTS, pipelines

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)
COMMAND = re.compile(r"\bkedro run\b(?P<arguments>[^`)\n]*)")
OPTIONS = {name: option for option in kedro_run.params for name in option.opts}
OVERRIDES = {  # what conf/ takes from `--params` beside the parameters
    name
    for file in (ROOT / "conf").rglob("*.yml")
    for name in re.findall(r"runtime_params:([\w.]+)", file.read_text())
}
NAMED = ("variant", "preset")  # what they name stands in conf/, or is added on the page


def without_code(text):
    return FENCE.sub("", text)


def commands():
    """Every `kedro run …` of every page, in code blocks and within sentences."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for found in COMMAND.finditer(text):
            yield pytest.param(page, found["arguments"], id=f"{page.name}:{found['arguments']}")


def options_of(arguments):
    """Options with their values: `--params a=1` and `--params=a=1` are the same."""
    words = shlex.split(arguments.partition(" #")[0])
    found = {}
    while words:
        name, given, value = words.pop(0).partition("=")
        takes_value = name not in ("--only-missing-outputs", "--async")
        found[name] = value if given or not takes_value else words.pop(0)
    return found


def split_parameters(text):
    """Divide the value of `--params` as `kedro run` does."""
    return split_items(text) if "=" in text else [text]


def is_placeholder(text):
    return "…" in text or "<" in text or text == "ENV"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_to_files(page):
    links = LINK.findall(without_code(page.read_text()))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(("page", "arguments"), commands())
def test_commands_name_what_there_is(page, arguments, configuration):
    given, text = options_of(arguments), page.read_text()
    assert set(given) <= set(OPTIONS)
    env = given.get("--env", "base")
    if is_placeholder(env) or f"`conf/{env}/globals.yml`" in text:
        env = "base"  # any experiment, or one that the page adds
    assert env in ENVIRONMENTS
    parts = pipelines()
    nodes = {node.name for one in parts.values() for node in one.nodes}
    for option, known in (("--pipelines", parts), ("--nodes", nodes)):
        chosen = given.get(option, "").split(",")
        assert all(is_placeholder(name) or name in ("", *known) for name in chosen), chosen
    for parameter in split_parameters(given.get("--params", "")):
        name, _, value = parameter.partition("=")
        assert not parameter or is_placeholder(parameter) or "=" in parameter, parameter
        if not is_placeholder(parameter) and name:
            known = f"{value}:" in text if name in NAMED else False
            assert known or parameter_exists(configuration(env), name, value), parameter


def parameter_exists(loader, name, value):
    parameters = loader["parameters"]
    if name in NAMED:
        known = {"variant": parameters["methods"], "preset": parameters["comparison"]["presets"]}
        return value in known[name]
    if name in OVERRIDES:
        return True
    return is_given(parameters, name.split(".")) or is_declared(name.split("."))


def is_given(values, path):
    """Whether `conf/` has the parameter."""
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def is_declared(path):
    """Whether the model of its section has the parameter, with a default of its own."""
    from project import parameter_models

    schema = parameter_models().get(path[0])
    schema = {} if schema is None else schema.model_json_schema()
    models = schema.get("$defs", {})
    for part in path[1:]:
        schema = models.get(schema.get("$ref", "").rpartition("/")[2], schema)
        if part not in schema.get("properties", {}):
            return False
        schema = schema["properties"][part]
    return bool(schema)


@pytest.fixture
def hooks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "hooks")


@pytest.mark.usefixtures("hooks")
def test_pages_are_whole_wherever_they_are_read_and_current(monkeypatch):
    """What the product writes stands in the pages, as it is now; nothing is filled in later."""
    from generated import pages, write_blocks

    for variable in ("SLICEFILL_RAW", "SLICEFILL_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    written = {path.name: path.read_text("utf-8") for path in pages()}
    assert set(written) >= {"commands.md", "files.md", "parameters.md"}
    stale = [name for name, text in written.items() if write_blocks(text) != text]
    assert not stale, "run: python docs/hooks/generated.py"
    assert not [page for page in PAGES if "--8<--" in page.read_text("utf-8")]


@pytest.mark.usefixtures("hooks")
def test_a_block_that_is_not_current_is_written_anew():
    from generated import write_blocks

    page = (
        "before\n<!-- generated: yaml conf/base/globals.yml -->\nold\n<!-- /generated -->\nafter\n"
    )
    text = (ROOT / "conf/base/globals.yml").read_text("utf-8")
    new = write_blocks(page)
    assert f"-->\n\n```yaml\n{text}```\n\n<!-- /generated -->\nafter\n" in new
    assert new.startswith("before\n")
    assert write_blocks(new) == new


@pytest.mark.usefixtures("hooks")
def test_every_section_of_the_parameters_has_its_table(configuration):
    from parameters import parameter_tables

    page = parameter_tables()
    for name, values in configuration()["parameters"].items():
        if isinstance(values, dict):
            section = page.partition(f"## {name}\n")[2]
            assert all(f"| `{parameter}` |" in section for parameter in values), name


@pytest.mark.usefixtures("hooks")
def test_every_kind_of_method_has_its_fields():
    from parameters import parameter_tables

    section = parameter_tables().partition("## methods\n")[2]
    assert '| `cubic` | `classical` | `rule: "cubic"` |' in section
    assert "| `rule` | string |" in section.partition("### Fields of kind `classical`\n")[2]


@pytest.mark.usefixtures("hooks")
def test_every_parameter_says_what_it_means():
    from parameters import parameter_tables

    rows = [row for row in parameter_tables().splitlines() if row.startswith("| `")]
    assert not [row for row in rows if row.endswith("|  |")]


@pytest.mark.usefixtures("hooks")
def test_the_value_of_a_parameter_is_that_of_conf_base(configuration):
    from parameters import parameter_tables

    assert doctest.testmod(sys.modules["parameters"]).failed == 0
    epochs = configuration()["parameters"]["synthesis"]["optimisation"]["epochs"]
    table = parameter_tables().partition("### `synthesis.optimisation`\n")[2]
    assert f"| `epochs` | integer ≥ 1 | `{epochs}` |" in table


@pytest.mark.usefixtures("hooks")
def test_help_is_there_for_every_command():
    from commands import command_help

    assert "### slicefill verify" in command_help()
    assert "--against INPUT" in command_help()


@pytest.mark.usefixtures("hooks")
def test_datasets_say_who_makes_and_who_reads_them():
    from catalog import dataset_table

    row = next(
        row for row in dataset_table().splitlines() if row.startswith("| `acquired_cases` |")
    )
    assert "`03_primary/<design>/acquired`" in row
    assert "| anisotropization |" in row
    assert "synthesis" in row.rpartition("anisotropization |")[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with warnings as errors."""
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_equation_beside_its_function(site):
    page = (site / "method.html").read_text()
    numbers = re.findall(r"</math><span>\(([\d, ]+)\)</span>", page)
    assert [int(n) for found in numbers for n in found.split(", ")] == list(range(1, 21))
    assert page.count("<math") > len(numbers)
    assert not re.search(r"\$\$|\\frac|\\operatorname", re.sub(r"<math.*?</math>", "", page))


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    remote = re.compile(
        r"<(?:script|img|iframe)[^>]*src=\"?https?:|<link[^>]*stylesheet[^>]*https?:"
    )
    assert not [page for page in site.rglob("*.html") if remote.search(page.read_text())]


@pytest.mark.slow
def test_every_library_module_is_in_the_reference(site):
    text = "".join(page.read_text() for page in Path(site, "reference", "api").glob("*.html"))
    modules = [path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.py")]
    names = {".".join(path.with_suffix("").parts) for path in modules}
    names -= {name for name in names if "__" in name or name.endswith(("settings", "nodes"))}
    assert [name for name in sorted(names) if f'id="{name}"' not in text] == []

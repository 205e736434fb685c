"""Every page docs/how-to/new_*.md is followed to the letter: files written, commands run."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import ROOT

PAGES = sorted((ROOT / "docs" / "how-to").glob("new_*.md"))
BLOCK = re.compile(
    r"(?:^\*\*`(?P<path>[^`]+)`\*\*[^\n]*\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
COPIED = ("conf", "docs/paper", "src", "pyproject.toml")


@dataclass(frozen=True)
class Step:
    """A code block of a page: a file to write, or commands to run."""

    path: str | None
    language: str
    text: str


def steps(page):
    return [Step(**found.groupdict()) for found in BLOCK.finditer(page.read_text("utf-8"))]


@pytest.fixture
def project(tmp_path):
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = shutil.ignore_patterns("__pycache__", "local", "*.egg-info")
        if source.is_dir():
            shutil.copytree(source, target, ignore=hidden)
        else:
            shutil.copy(source, target)
    return tmp_path


def write(project, step):
    """Make the file, or add to its end where it is there already."""
    file = project / step.path
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text("utf-8").rstrip("\n") + "\n\n\n" if file.exists() else ""
    file.write_text(before + step.text, "utf-8")


def run(project, text):
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": binaries, "PYTHONPATH": str(project / "src")}
    script = "set -e\n" + text
    done = subprocess.run(
        ["bash", "-c", script], cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_says_where_it_belongs(page):
    """A block without a path is a command, or what a command prints."""
    found = steps(page)
    assert [step for step in found if step.language == "sh"]
    for step in found:
        assert step.path or step.language in ("sh", "text"), step.text[:80]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_followed_to_the_letter_works(page, project):
    for step in steps(page):
        if step.path:
            write(project, step)
        elif step.language == "sh":
            run(project, step.text)

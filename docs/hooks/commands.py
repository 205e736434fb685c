"""The pipelines, and the help of `slicefill`, as the project itself tells them."""

import os
import re
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from unittest.mock import patch

from project import pipelines

from slicefill.command_line import main

_HEAD = "| pipeline | from → to |\n|---|---|\n"


def pipeline_table() -> str:
    """A row per pipeline, with the first line of its module."""
    return _HEAD + "\n".join(f"| `{name}` | {_purpose(name)} |" for name in pipelines())


def task_count() -> str:
    """How many tasks `kedro run` has."""
    return f"These are {len(pipelines()['study'].nodes)} tasks."


def command_help() -> str:
    """What `--help` prints, for `slicefill` and each of its commands."""
    commands = re.findall(r"^    (\S+)", _usage(), re.M)
    sections = [f"### slicefill {name}\n\n```\n{_usage(name)}```\n" for name in commands]
    return "\n".join([f"```\n{_usage()}```\n", *sections])


def _purpose(name: str) -> str:
    documentation = import_module(f"slicefill.pipelines.{name}").__doc__ or ""
    return documentation.splitlines()[0]


def _usage(*command: str) -> str:
    printed = StringIO()
    width = {"COLUMNS": "80", "NO_COLOR": "1"}  # whatever the terminal
    with patch.dict(os.environ, width), redirect_stdout(printed), suppress(SystemExit):
        main([*command, "--help"])
    return printed.getvalue()

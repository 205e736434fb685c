"""`slicefill tune-worker` takes part in a tuning study."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

_SEARCH = ("--pipelines=tuning", "--nodes=tuning.search_parameters")
_DESCRIPTION = """\
Take part in the study of an experiment: try values until the trials of all workers, or the
minutes of this one, are used up. Start it as often as there are cores or machines. Workers on one
machine share a journal file; workers on several share a database:

  export SLICEFILL_TUNING_STORAGE=postgresql+psycopg://user:password@host/name

A worker may be stopped at any time; the trial that it was at is tried again by another.
"""
_EXAMPLES = """\
It is short for: kedro run --env=ENV --pipelines=tuning --nodes=tuning.search_parameters
Start it in the project's folder, where the anisotropic cases have been made.

exit status: that of Kedro, 0 if all is well; 2 wrong usage, or no project or no Kedro

examples:
  slicefill tune-worker --env hippocampus
  slicefill tune-worker --env hippocampus --params tuning.minutes=60
  for i in 1 2 3 4; do OMP_NUM_THREADS=1 slicefill tune-worker --env hippocampus & done; wait
"""


def add_tune_worker(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    worker = commands.add_parser(
        "tune-worker",
        help="take part in a tuning study",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    worker.add_argument("--env", required=True, help="the experiment, a folder in conf/")
    worker.add_argument("--params", help="as those of `kedro run`; the same for all workers")
    worker.set_defaults(run=partial(_run, worker))


def _run(worker: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Become Kedro, so that one process is all there is to stop."""
    missing = _missing()
    if missing:
        worker.error(missing)
    command = [sys.executable, "-m", "kedro", "run", f"--env={arguments.env}", *_SEARCH]
    if arguments.params:
        command.append(f"--params={arguments.params}")
    os.execv(command[0], command)


def _missing() -> str:
    """Say what a worker needs and does not find; empty if all is there."""
    try:
        from kedro.utils import find_kedro_project
    except ModuleNotFoundError:
        return "expected Kedro, found none; pip install 'slicefill[pipelines]'"
    folder = Path.cwd()
    if find_kedro_project(folder) is None:
        return (
            f"expected the project in {folder} or above it (pyproject.toml with [tool.kedro]), "
            "found none; start the worker in the project's folder"
        )
    return ""

"""Processes that start as those of a user who has set nothing."""

import os
import subprocess

SET_BY_US = ("DO_NOT_TRACK", "GOMP", "KEDRO", "KMP", "MLFLOW", "OMP_WAIT", "PYTHON", "SLICEFILL")


def run(command, folder, **variables):
    """Run a command in a folder as somebody who has set none of our variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SET_BY_US)}
    return subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**kept, "COLUMNS": "300", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def program(*arguments):
    """Code that is the program `slicefill`."""
    return "-c", f"from slicefill.command_line import main; raise SystemExit(main({arguments!r}))"

"""Files of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from slicefill.tracking.runs import current_run

if TYPE_CHECKING:
    import pandas as pd


def log_artifact(path: Path, folder: str | None = None) -> None:
    """Copy a file, or a folder under its name, into the run.

    Args:
        path: What is copied.
        folder: Where it lies among the run's artifacts; at the top if omitted.

    Raises:
        FileNotFoundError: If there is nothing at the path, and a run is open.
    """
    run = current_run()
    if run is None:
        return
    if not path.exists():
        msg = f"{path}: expected a file or a folder to log, found nothing"
        raise FileNotFoundError(msg)
    if path.is_dir():
        folder = "/".join(filter(None, (folder, path.name)))
    run.send("artifact", path=str(path), folder=folder)


def log_table(table: "pd.DataFrame", name: str) -> None:
    """Log a table as the artifact `<name>.csv`; the name may hold slashes."""
    with _written(name.rpartition("/")[2] + ".csv") as path:
        table.to_csv(path, index=False)
        log_artifact(path, name.rpartition("/")[0] or None)


def log_text(text: str, name: str) -> None:
    """Log a text as an artifact; the name may hold slashes."""
    with _written(name.rpartition("/")[2]) as path:
        path.write_text(text)
        log_artifact(path, name.rpartition("/")[0] or None)


@contextmanager
def _written(name: str) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder, name)

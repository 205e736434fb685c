"""What would drift if it were written by hand: blocks of the pages that the product writes.

A block stands between `<!-- generated: <name> -->` and `<!-- /generated -->`. The pages hold what
was written, so that they are whole wherever they are read; `python docs/hooks/generated.py` writes
it anew, and a test compares.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from catalog import dataset_table
from commands import command_help, pipeline_table, task_count
from parameters import parameter_tables
from project import ROOT

_BLOCK = re.compile(r"(<!-- generated: (\w+) ?(\S*) -->\n)(.*?)(<!-- /generated -->)", re.S)


def write_blocks(page: str) -> str:
    """Return a page with every block as the product is now."""
    return _BLOCK.sub(_written, page)


def pages() -> list[Path]:
    """Every page of the documentation that has a block."""
    return [path for path in sorted((ROOT / "docs").rglob("*.md")) if _BLOCK.search(_read(path))]


def _written(found: re.Match[str]) -> str:
    begin, name, argument, _, end = found.groups()
    text = _WRITERS[name](*filter(None, [argument]))
    return f"{begin}\n{text.strip()}\n\n{end}"


def _file(path: str) -> str:
    """Copy a page that lies elsewhere."""
    return _read(ROOT / path)


def _yaml(path: str) -> str:
    """Copy a file of `conf/`."""
    return f"```yaml\n{_read(ROOT / path)}```"


def _read(path: Path) -> str:
    return path.read_text("utf-8")


_WRITERS: dict[str, Callable[..., str]] = {
    "commands": command_help,
    "datasets": dataset_table,
    "file": _file,
    "parameters": parameter_tables,
    "pipelines": pipeline_table,
    "tasks": task_count,
    "yaml": _yaml,
}


def main() -> None:
    """Write the pages that are not current, and name them."""
    for path in pages():
        current = write_blocks(_read(path))
        if current != _read(path):
            path.write_text(current, "utf-8")
            sys.stdout.write(f"written: {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()

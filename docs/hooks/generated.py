"""Fills in what would drift if it were written by hand: `<!-- generated: <name> -->` in a page."""

import re

from catalog import dataset_table
from commands import command_help, pipeline_table
from parameters import parameter_tables

_MARK = re.compile(r"<!-- generated: (\w+) -->")
_WRITERS = {
    "commands": command_help,
    "datasets": dataset_table,
    "parameters": parameter_tables,
    "pipelines": pipeline_table,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the marks of a page by Markdown."""
    return _MARK.sub(lambda found: _WRITERS[found[1]](), markdown)

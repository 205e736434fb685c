"""The pages of the API: one per package, one for the modules beside them, by mkdocstrings."""

import pkgutil

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import slicefill

_FOLDER = "reference/api"
_HIDDEN = {"__main__", "settings"}  # nothing to call


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages, and name them in the navigation."""
    found = [one for one in pkgutil.iter_modules(slicefill.__path__) if one.name not in _HIDDEN]
    pages = {"modules": [one.name for one in found if not one.ispkg]}
    pages |= {one.name: [one.name] for one in found if one.ispkg}
    for name, members in pages.items():
        text = "\n".join([f"# {name}", *(f"\n::: slicefill.{member}" for member in members)])
        files.append(File.generated(config, f"{_FOLDER}/{name}.md", content=text))
    reference = next(part["Reference"] for part in config.nav or () if "Reference" in part)
    reference.append({"API": [{name: f"{_FOLDER}/{name}.md"} for name in pages]})

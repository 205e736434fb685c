"""Table of the datasets of the catalog: where they lie, who makes and who reads them."""

from operator import itemgetter

from project import configuration, pipelines

_OVERRIDES = {name: f"<{name}>" for name in ("axis", "factor", "variant", "preset", "seed")}
_DESIGN = ("<experiment>/<axis>_x<factor>", "<design>")
_HEAD = "| dataset | in `data/` | made by | read by |\n|---|---|---|---|\n"


def dataset_table() -> str:
    """A row per dataset, by its place on disk."""
    entries = configuration("catalog", **_OVERRIDES)
    paths = {name: _path(entry) for name, entry in entries.items() if isinstance(entry, dict)}
    rows = [
        f"| `{name}` | {path} | {_users(name, 'outputs')} | {_users(name, 'inputs')} |"
        for name, path in sorted(paths.items(), key=itemgetter(1, 0))
    ]
    return _HEAD + "\n".join(rows)


def _path(entry: dict[str, str]) -> str:
    path = entry.get("filepath") or entry.get("path") or ""
    shown = path.removeprefix("data/").replace("/sample", "/<experiment>").replace(*_DESIGN)
    return f"`{shown}`" if shown else "in memory"


def _users(dataset: str, side: str) -> str:
    """Name the pipelines with it among the inputs or outputs of their own nodes, or of any."""
    users = [
        (name, node.namespace == name)
        for name, one in pipelines().items()
        for node in one.nodes
        if dataset in getattr(node, side)
    ]
    own = [name for name, its_own in users if its_own]
    return ", ".join(dict.fromkeys(own or [name for name, _ in users]))

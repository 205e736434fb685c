"""Size and shape of the package: modules, small files, import chains and circles.

    python benchmarks/structure.py [FOLDER_OF_THE_PACKAGE]

Imports inside functions count, as do those for type checking. A package counts as its `__init__`.
"""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SMALL = 40  # lines


def name_of(path: Path, root: Path) -> str:
    """Dotted name of a module, as it is imported."""
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(path: Path, names: set[str]) -> set[str]:
    """Modules of the package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in names else node.module for one in inner}
    return found & names


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """Longest chain of modules, each of which imports the next; refuses circles."""
    best: dict[str, list[str]] = {}
    for module in TopologicalSorter(graph).static_order():
        tails = [best[other] for other in graph[module]]
        best[module] = [module, *max(tails, key=len, default=[])]
    return max(best.values(), key=len)


def main() -> None:
    """Print the numbers."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "src/slicefill")
    paths = {name_of(path, root): path for path in sorted(root.rglob("*.py"))}
    names = set(paths)
    graph = {name: imported_by(path, names) - {name} for name, path in paths.items()}
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in paths.items()}
    small = [name for name, count in lines.items() if count < SMALL]
    print(f"modules                      {len(paths)}")
    print(f"lines                        {sum(lines.values())}")
    print(f"modules at the root          {len(list(root.glob('*.py')))}")
    print(f"files under {SMALL} lines         {len(small)}")
    try:
        chain = longest_chain(graph)
    except CycleError as error:
        print(f"circle                       {' -> '.join(error.args[1])}")
        return
    print("circles                      none")
    print(f"longest chain of imports     {len(chain)}")
    print("   " + "\n   ".join(chain))


if __name__ == "__main__":
    main()

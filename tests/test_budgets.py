import ast
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))


def body_lines(function):
    first = function.body[1 if ast.get_docstring(function) else 0 :][:1]
    return function.end_lineno - first[0].lineno + 1 if first else 0


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: "/".join(path.parts[-2:]))
def test_files_and_functions_stay_small(source):
    text = source.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert body_lines(node) <= 40, f"{source.name}: {node.name} is too long"

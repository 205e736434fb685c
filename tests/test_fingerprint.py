import subprocess
import sys

import pytest

from slicefill import fingerprint as module
from slicefill.fingerprint import fingerprint
from slicefill.params import WindowParams

WINDOW = {"kind": "percentile", "low": 0.5, "high": 99.5}


def test_the_order_of_keys_does_not_matter():
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )


def test_a_model_counts_as_its_values():
    assert fingerprint(WindowParams(**WINDOW)) == fingerprint(WINDOW)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("b", "a")),
        (("a", "b"), ("ab",)),
        ((1,), ("1",)),
        ((1,), (1.5,)),
        ((None,), ("",)),
        ((WINDOW,), ({**WINDOW, "low": 0.6},)),
    ],
)
def test_different_parts_differ(one, other):
    assert fingerprint(*one) != fingerprint(*other)


def test_another_version_of_the_package_makes_everything_again(monkeypatch):
    before = fingerprint("a")
    monkeypatch.setattr(module, "__version__", "another")
    assert fingerprint("a") != before


def test_it_is_the_same_in_another_process():
    code = "from slicefill.fingerprint import fingerprint; print(fingerprint({'b': 1, 'a': [2]}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint({"a": [2], "b": 1})

"""What the tests of filling and of adapting share: thick cases and their split."""

import pandas as pd
import pytest

from slicefill.types import Promise


@pytest.fixture
def splits():
    """One training case, two test cases, of three persons."""
    return pd.DataFrame(
        {"case": ["a", "b", "c"], "split": ["train", "test", "test"], "person": ["1", "2", "3"]}
    )


@pytest.fixture
def thick(case):
    return {name: Promise(lambda s=s: case(seed=s), f"mark {s}") for s, name in enumerate("abc")}

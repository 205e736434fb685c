"""What the tests of imputing and of adapting share: anisotropic cases and their split."""

import pandas as pd
import pytest

from slicefill.types import Promise


@pytest.fixture
def splits():
    """One training case, two test cases, of three subjects."""
    return pd.DataFrame(
        {"case": ["a", "b", "c"], "split": ["train", "test", "test"], "subject": ["1", "2", "3"]}
    )


@pytest.fixture
def acquired_case(case):
    return {name: Promise(lambda s=s: case(seed=s), f"mark {s}") for s, name in enumerate("abc")}

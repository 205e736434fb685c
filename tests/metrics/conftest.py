"""What the metric tests share."""

import pytest

from slicefill.params import EvaluationParams


@pytest.fixture
def params():
    """What the metrics read; the rest of the model is for figures."""
    return EvaluationParams.model_construct(
        body_quantile=0.1,
        label_names={0: "background", 1: "core", 2: "rim"},
        bootstrap_samples=2000,
        confidence_level=0.95,
        seed=0,
    )

"""Adaptation node: let the shipped weights learn from the scans that are imputed."""

from functools import partial

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import States
from slicefill.imputation.methods.pretrained import ADAPTED, load_pretrained
from slicefill.params import AdaptationParams, ImputationParams
from slicefill.pipelines.imputation.nodes import choose_cases
from slicefill.types import ModelPromise, Promise


def adapt_weights(
    acquired_cases: dict[str, Promise],
    splits: pd.DataFrame,
    states: States,
    imputation: ImputationParams,
    adaptation: AdaptationParams,
) -> dict[str, ModelPromise]:
    """Promise adapted weights; nothing unless `imputation.adapt` asks for them."""
    if imputation.adapt is None:
        return {}
    from slicefill.imputation.methods.adapted.adaptation import Scans, adapt, adaptation_fingerprint
    from slicefill.training.fit import Run

    cases = choose_cases(acquired_cases, splits, imputation)
    scans = Scans(cases, dict(zip(splits["case"], splits["subject"], strict=True)))
    start = load_pretrained()
    params = adaptation.within(imputation.adapt.minutes)
    make = partial(adapt, scans, start, params, Run(states[ADAPTED], tracking.reporter()))
    return {ADAPTED: ModelPromise(make, adaptation_fingerprint(scans, start, params))}

"""Adaptation node: let the shipped weights learn from the scans that are filled."""

from functools import partial

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import Slots
from slicefill.imputation.methods.pretrained import ADAPTED, load_pretrained
from slicefill.params import AdaptationParams, ImputationParams
from slicefill.pipelines.imputation.nodes import choose_cases
from slicefill.types import ModelPromise, Promise


def adapt_weights(
    thick_cases: dict[str, Promise],
    splits: pd.DataFrame,
    slots: Slots,
    imputation: ImputationParams,
    adaptation: AdaptationParams,
) -> dict[str, ModelPromise]:
    """Promise adapted weights; nothing unless `imputation.adapt` asks for them."""
    if imputation.adapt is None:
        return {}
    from slicefill.imputation.methods.adapted.adaptation import Scans, adapt, adaptation_mark
    from slicefill.training.fit import Run

    cases = choose_cases(thick_cases, splits, imputation)
    scans = Scans(cases, dict(zip(splits["case"], splits["person"], strict=True)))
    start = load_pretrained()
    params = adaptation.within(imputation.adapt.minutes)
    make = partial(adapt, scans, start, params, Run(slots[ADAPTED], tracking.reporter()))
    return {ADAPTED: ModelPromise(make, adaptation_mark(scans, start, params))}

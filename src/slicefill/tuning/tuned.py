"""What tuning found, put to use by a training."""

import logging
from collections.abc import Mapping
from typing import Any

from slicefill.params import TUNED, SynthesisParams
from slicefill.tuning.space import apply_values

logger = logging.getLogger(__name__)


def use_best(params: SynthesisParams, best: Mapping[str, Any]) -> SynthesisParams:
    """Put the values that tuning found in place, where the preset in use is `tuned`.

    Args:
        params: Of a training.
        best: What `describe_best` says; empty where nothing was tuned, and the shipped preset
            is used.
    """
    if params.preset != TUNED:
        return params
    if not best:
        logger.info("preset tuned: as shipped, for this experiment was not tuned itself")
        return params
    logger.info("preset tuned: %s of study %s", best["values"], best["study"])
    return apply_values(params, best["values"])

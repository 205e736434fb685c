"""Where the shipped weights impute instead of a method, and what would change that."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from slicefill.advice import kedro_run
from slicefill.params import ImputationParams
from slicefill.types import Models

logger = logging.getLogger(__name__)


def stand_in(
    names: Sequence[str], models: Models, params: ImputationParams, parameters: Mapping[str, Any]
) -> list[str]:
    """Put the shipped weights in the place of methods that are not trained yet, each once.

    Adapted ones stand in where they are among the names and were made. With `weights: own` nothing
    stands in. A model that holds the shipped weights, because adaptation kept them, imputes under
    their name in any case.
    """
    from slicefill.imputation.methods import find_method
    from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED

    kept = [name for name in names if name in models and models[name]().get("kind") == PRETRAINED]
    for name in kept:
        logger.info("%s: adaptation kept the shipped weights, which impute as %s", name, PRETRAINED)
    names = [PRETRAINED if name in kept else name for name in names]
    untrained = [
        name for name in names if name not in models and find_method(name, parameters).has("train")
    ]
    if params.weights != PRETRAINED or not untrained:
        return list(dict.fromkeys(names))
    substitute = ADAPTED if ADAPTED in names and ADAPTED in models else PRETRAINED
    for name in untrained:
        said = "%s is not trained here: the shipped weights impute instead, as %s; to train it: %s"
        logger.info(said, name, substitute, training_command(name, parameters))
    return list(dict.fromkeys(substitute if name in untrained else name for name in names))


def training_command(name: str, parameters: Mapping[str, Any]) -> str:
    """Return the command that trains a method."""
    from slicefill.imputation.methods import find_method
    from slicefill.imputation.methods.pretrained import ADAPTED

    if find_method(name, parameters).kind == ADAPTED:
        return kedro_run("adaptation")
    return kedro_run("synthesis", variant=name)


def advise_adaptation(
    models: Models, parameters: Mapping[str, Any], *, scans: int, subjects: int
) -> Callable[[int], str] | None:
    """Return what says, for a scan of so many slices, how the weights could learn from it.

    Nothing says so where they have tried already.
    """
    from slicefill.imputation.methods import find_method
    from slicefill.imputation.methods.pretrained import ADAPTED

    if ADAPTED in models or ADAPTED not in parameters["methods"]:
        return None
    asked = find_method(ADAPTED, parameters).params
    return partial(_told_adaptation, kedro_run("adaptation"), scans, subjects, asked)


def _told_adaptation(command: str, scans: int, subjects: int, asked: Any, depth: int) -> str:
    from slicefill.imputation.methods.adapted.sufficiency import may_decide

    can = may_decide(depth, scans=scans, subjects=subjects, params=asked)
    return f", or let them learn from it: {command}" if can else ""

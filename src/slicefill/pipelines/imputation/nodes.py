"""Imputation nodes: choose cases and methods, promise imputed cases, verify what was written."""

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from slicefill.execution.preparation import prepared
from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED, load_pretrained
from slicefill.imputation.methods.pretrained.stand_in import stand_in
from slicefill.params import ExecutorParams, ImputationParams, SynthesisParams
from slicefill.types import Case, Checkpoint, Lazy, Models, Promise

if TYPE_CHECKING:
    from slicefill.imputation.impute import Imputer

logger = logging.getLogger(__name__)


def impute_cases(  # noqa: PLR0913, PLR0917 - one per dataset
    acquired_cases: dict[str, Promise],
    splits: pd.DataFrame,
    synthesis_models: Models,
    super_resolution_models: Models,
    adapted_models: Models,
    params: ImputationParams,
    synthesis: SynthesisParams,
) -> tuple[dict[str, Promise], list[str]]:
    """Promise one imputed case per method and case, as `method/case`.

    Returns:
        The promises, and the methods: as in the parameters, but for the shipped weights where
        they stand in, and for `adapted` where that was asked for.
    """
    chosen = choose_cases(acquired_cases, splits, params)
    models = {**synthesis_models, **super_resolution_models, **adapted_models}
    methods = _methods(models, params, synthesis)
    promises = {
        f"{name}/{case}": promise
        for name in methods
        for case, promise in promise_imputed(chosen, name, models, params).items()
    }
    return promises, methods


def choose_cases(
    acquired_cases: dict[str, Promise], splits: pd.DataFrame, params: ImputationParams
) -> dict[str, Promise]:
    """Return the cases that are imputed."""
    wanted = splits["case"] if params.cases == "all" else splits.query("split == 'test'")["case"]
    return {case: acquired_cases[case] for case in wanted if case in acquired_cases}


def _methods(models: Models, params: ImputationParams, synthesis: SynthesisParams) -> list[str]:
    """Let the shipped weights stand in for variants without a model, unless `weights` is `own`.

    Adapted ones do where adaptation was asked for and did not fail; they fill in any case then.
    """
    variants = synthesis.variants if params.weights == PRETRAINED else ()
    adapted = [ADAPTED] if params.adapt and ADAPTED in models else []
    substitute = adapted[0] if adapted else PRETRAINED
    methods = stand_in([*params.methods, *adapted], models, variants, substitute)
    for name in params.methods:
        if name not in methods:
            logger.info(
                "%s is not trained here: the shipped weights impute instead, as %s; to train it: "
                "kedro run --pipelines=synthesis --params variant=%s",
                name,
                substitute,
                name,
            )
    return methods


def promise_imputed(
    acquired_cases: dict[str, Promise], name: str, models: Models, params: ImputationParams
) -> dict[str, Promise]:
    """Promise every case imputed by one method.

    Raises:
        ValueError: If the method is neither classical, nor pretrained, nor trained.
    """
    prepare = _preparation(name, models, params)
    mark = prepare().mark  # what cannot be prepared is refused now, not case by case
    imputer = Lazy(prepare, fingerprint(mark, params))
    # What changes no case is left out; confidence is part of the mark where it changes something.
    rule = params.model_dump(
        exclude={"methods", "weights", "adapt", "cases", "batch_pixels", "confidence"}
    )
    return {
        case: Promise(
            partial(_impute, case, promise, imputer, params),
            fingerprint(promise.fingerprint, mark, rule),
        )
        for case, promise in acquired_cases.items()
    }


def _preparation(name: str, models: Models, params: ImputationParams) -> "Callable[[], Imputer]":
    """Return how any process makes the method ready."""
    from slicefill.imputation.impute import classical_imputer
    from slicefill.imputation.methods.classical import CLASSICAL

    if name in CLASSICAL:
        return partial(classical_imputer, name, params)
    if name == PRETRAINED:
        return partial(_load, name, load_pretrained, params)
    if name not in models:
        how = "adaptation" if name == ADAPTED else f"synthesis --params variant={name}"
        msg = (
            f"imputation.methods: no trained model {name!r} (found: {', '.join(models) or 'none'});"
            f" train it with `kedro run --pipelines={how}`, or choose "
            f"among {', '.join(CLASSICAL)} and {PRETRAINED}: "
            f"`--params 'imputation.methods=[{PRETRAINED}]'`"
        )
        raise ValueError(msg)
    return partial(_load, name, models[name], params)


def _load(name: str, read: Callable[[], Checkpoint], params: ImputationParams) -> "Imputer":
    from slicefill.imputation.impute import learned_imputer

    return learned_imputer(name, read(), params)


def _impute(
    name: str, promise: Promise, imputer: "Lazy[Imputer]", params: ImputationParams
) -> Case:
    from slicefill.imputation.impute import impute_case

    imputed = impute_case(promise.make(), prepared(imputer), params)
    remedy = "" if params.adapt else ", or let them learn from it: kedro run --pipelines=adaptation"
    for difference in (imputed.record["domain"] or {}).get("outside", ()):
        said = "%s is unlike what the shipped weights have seen: %s; look at the result%s"
        logger.warning(said, name, difference, remedy)
    return imputed


def verify_imputed(
    imputed_cases: dict[str, Promise],
    acquired_cases: dict[str, Promise],
    methods: list[str],
    executor: ExecutorParams,
) -> pd.DataFrame:
    """Compare every case that this run wrote with its source, slice by slice."""
    return verify_groups(imputed_cases, acquired_cases, methods, executor)


def verify_groups(
    imputed_cases: dict[str, Promise],
    acquired_cases: dict[str, Promise],
    groups: list[str],
    executor: ExecutorParams,
) -> pd.DataFrame:
    """Compare the imputed cases of some methods with their source; other runs' are left alone.

    Returns:
        One row per imputed case whose record claims untouched acquired slices: `passed`, and the
        differences found. Super-resolution changes them, and its record says so.

    Raises:
        ValueError: If any acquired slice, geometry or label id differs, or a case cannot be read.
    """
    from slicefill.execution.each import run_each

    pairs = {
        name: (promise, acquired_cases[name.rpartition("/")[2]])
        for name, promise in imputed_cases.items()
        if name.rpartition("/")[0] in groups
    }
    found, failed = run_each(_verify, pairs, executor, "verify")
    differences = {name: own for name, own in found.items() if own is not None} | failed
    rows = [(*name.rsplit("/", 1), not own, own) for name, own in differences.items()]
    table = pd.DataFrame(rows, columns=["method", "case", "passed", "differences"])
    if not table["passed"].all():
        msg = f"verification failed:\n{table[~table['passed']].to_string(index=False)}"
        raise ValueError(msg)
    return table


def _verify(name: str, pair: tuple[Promise, Promise]) -> str | None:
    """Differences of an imputed case from its source; None where it does not claim to keep it."""
    from slicefill.imputation.verification import verify_imputed_case

    imputed, acquired_case = pair[0].make(), pair[1]
    if imputed.record["acquired_slices"] != "kept":
        return None
    return "; ".join(verify_imputed_case(imputed, acquired_case.make()))

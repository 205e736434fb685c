"""Imputation nodes: choose cases and methods, promise imputed cases, verify what was written."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicefill.datasets.promises import Grouped
from slicefill.execution.each import prepared
from slicefill.fingerprint import fingerprint
from slicefill.imputation.trace import acquired_places
from slicefill.ingestion.splits import choose_cases
from slicefill.params import ExecutorParams, ImputationParams
from slicefill.pipelines.imputation.stand_in import (
    advise_adaptation,
    stand_in,
    training_command,
)
from slicefill.types import Case, Checkpoint, Lazy, Models, Promise

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer
    from slicefill.plugins import System

logger = logging.getLogger(__name__)


def impute_cases(
    acquired_cases: dict[str, Promise],
    splits: pd.DataFrame,
    models: Models,
    names: list[str],
    params: ImputationParams,
    parameters: dict[str, Any],
    dense_cases: dict[str, str],
    refused_cases: dict[str, str],
) -> tuple[dict[str, Promise], list[str]]:
    """Promise one imputed case per method and case, as `method/case`.

    Dense cases and refused ones (`sort_cases`) are left out.

    Returns:
        The promises, and the methods: as named, but `pretrained` wherever the shipped weights
        impute: in the place of a method that is not trained, or of adapted weights that were no
        better.
    """
    chosen = choose_cases(acquired_cases, splits, params.cases)
    left_out = {*dense_cases, *refused_cases}
    chosen = {case: promise for case, promise in chosen.items() if case not in left_out}
    methods = stand_in(names, models, params, parameters)
    impute = partial(promise_imputed, chosen, models=models, params=params, parameters=parameters)
    subjects = splits[splits["case"].isin([*chosen])]["subject"].nunique()
    advice = advise_adaptation(models, parameters, scans=len(chosen), subjects=subjects)
    promises = {
        f"{name}/{case}": promise
        for name in methods
        for case, promise in impute(name=name, advice=advice).items()
    }
    return Grouped(promises, methods), methods


def promise_imputed(
    acquired_cases: dict[str, Promise],
    name: str,
    models: Models,
    params: ImputationParams,
    parameters: Mapping[str, Any],
    advice: Callable[[int], str] | None = None,
) -> dict[str, Promise]:
    """Promise every case imputed by one method.

    Args:
        acquired_cases: What is imputed.
        name: Of the method.
        models: Those that are trained.
        params: How it imputes.
        parameters: All parameters.
        advice: Of a scan on which the weights do not pay, by its number of slices: what to do
            besides looking at the result.

    Raises:
        ValueError: If there is no such method, or it learns and was not trained.
    """
    from slicefill.imputation.methods import find_method

    system = find_method(name, parameters)
    if system.has("train") and name not in models:
        msg = (
            f"imputation.methods: {name!r} is not trained (found: {', '.join(models) or 'none'}); "
            f"train it with `{training_command(name, parameters)}`, or choose "
            "another method: `--params 'imputation.methods=[pretrained]'`"
        )
        raise ValueError(msg)
    prepare = partial(_prepare, system, models.get(name), params)
    own = prepare().fingerprint  # what cannot be prepared is refused now, not case by case
    imputer = Lazy(prepare, fingerprint(own, params))
    return {
        case: Promise(
            partial(_impute, case, promise, imputer, params, advice),
            fingerprint(promise.fingerprint, own, params.decisive),
        )
        for case, promise in acquired_cases.items()
    }


def _prepare(
    system: "System", read: Callable[[], Checkpoint] | None, params: ImputationParams
) -> "Imputer":
    """Make the method ready, in whichever process imputes."""
    from slicefill.imputation.imputers import load_imputer

    return load_imputer(system, None if read is None else read(), params)


def _impute(
    name: str,
    promise: Promise,
    imputer: "Lazy[Imputer]",
    params: ImputationParams,
    advice: Callable[[int], str] | None,
) -> Case:
    from slicefill.imputation.choice import doubt
    from slicefill.imputation.impute import impute_case

    rng = np.random.default_rng([params.seed, *name.encode()])  # whatever the order of the cases
    imputed = impute_case(promise.make(), prepared(imputer), params, rng)
    depth = len(acquired_places(imputed.record["slices"]))
    remedy = advice(depth) if advice else ""
    if found := doubt(imputed.record["choice"]):
        logger.warning("%s: %s; look at the result%s", name, found, remedy)
    return imputed


def verify_imputed(
    imputed_cases: dict[str, Promise],
    acquired_cases: dict[str, Promise],
    methods: list[str],
    executor: ExecutorParams,
) -> pd.DataFrame:
    """Compare the imputed cases of some methods with their source.

    Those of other runs, and those whose source is no longer there, are left alone.

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
        if name.rpartition("/")[0] in methods and name.rpartition("/")[2] in acquired_cases
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

"""Imputation nodes: choose cases and methods, promise filled cases, verify what was written."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from slicefill.fingerprint import fingerprint
from slicefill.params import ExecutorParams, ImputationParams
from slicefill.preparation import prepared
from slicefill.types import Case, Checkpoint, Lazy, Models, Promise

if TYPE_CHECKING:
    from slicefill.imputation import Imputer


def fill_cases(
    thick_cases: dict[str, Promise],
    splits: pd.DataFrame,
    synthesis_models: Models,
    super_resolution_models: Models,
    params: ImputationParams,
) -> dict[str, Promise]:
    """Promise one filled case per method and case, as `method/case`."""
    wanted = splits["case"] if params.cases == "all" else splits.query("split == 'test'")["case"]
    chosen = {case: thick_cases[case] for case in wanted if case in thick_cases}
    models = {**synthesis_models, **super_resolution_models}
    return {
        f"{name}/{case}": promise
        for name in params.methods
        for case, promise in promise_fillings(chosen, name, models, params).items()
    }


def promise_fillings(
    thick_cases: dict[str, Promise], name: str, models: Models, params: ImputationParams
) -> dict[str, Promise]:
    """Promise every case filled by one method.

    Raises:
        ValueError: If the method is neither classical nor trained.
    """
    prepare = _preparation(name, models, params)
    mark = prepare().mark  # what cannot be prepared is refused now, not case by case
    imputer = Lazy(prepare, fingerprint(mark, params))
    rule = params.model_dump(exclude={"methods", "cases", "batch_pixels"})  # these change no case
    return {
        case: Promise(
            partial(_fill, promise, imputer, params),
            fingerprint(promise.fingerprint, mark, rule),
        )
        for case, promise in thick_cases.items()
    }


def _preparation(name: str, models: Models, params: ImputationParams) -> "Callable[[], Imputer]":
    """Return how any process makes the method ready."""
    from slicefill.imputation import classical_imputer
    from slicefill.interpolation.classical import CLASSICAL

    if name in CLASSICAL:
        return partial(classical_imputer, name, params)
    if name not in models:
        msg = (
            f"imputation.methods: no trained model {name!r} (found: {', '.join(models) or 'none'});"
            f" train it with `kedro run --pipelines=synthesis --params variant={name}`, or choose "
            f"among {', '.join(CLASSICAL)}: `--params 'imputation.methods=[linear]'`"
        )
        raise ValueError(msg)
    return partial(_load, name, models[name], params)


def _load(name: str, read: Callable[[], Checkpoint], params: ImputationParams) -> "Imputer":
    from slicefill.imputation import learned_imputer

    return learned_imputer(name, read(), params)


def _fill(promise: Promise, imputer: "Lazy[Imputer]", params: ImputationParams) -> Case:
    from slicefill.imputation import fill_case

    return fill_case(promise.make(), prepared(imputer), params)


def verify_filled(
    filled_cases: dict[str, Promise],
    thick_cases: dict[str, Promise],
    params: ImputationParams,
    executor: ExecutorParams,
) -> pd.DataFrame:
    """Compare every case that this run wrote with its source, slice by slice."""
    return verify_groups(filled_cases, thick_cases, params.methods, executor)


def verify_groups(
    filled_cases: dict[str, Promise],
    thick_cases: dict[str, Promise],
    groups: list[str],
    executor: ExecutorParams,
) -> pd.DataFrame:
    """Compare the filled cases of some methods with their source; other runs' are left alone.

    Returns:
        One row per filled case whose record claims untouched acquired slices: `passed`, and the
        differences found. Super-resolution changes them, and its record says so.

    Raises:
        ValueError: If any acquired slice, geometry or label id differs, or a case cannot be read.
    """
    from slicefill.execution.each import run_each

    pairs = {
        name: (promise, thick_cases[name.rpartition("/")[2]])
        for name, promise in filled_cases.items()
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
    """Differences of a filled case from its source; None where it does not claim to keep it."""
    from slicefill.verification import verify_filling

    filled, thick = pair[0].make(), pair[1]
    if filled.record["acquired_slices"] != "kept":
        return None
    return "; ".join(verify_filling(filled, thick.make()))

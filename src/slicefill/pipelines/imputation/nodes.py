"""Imputation nodes: choose cases and methods, promise filled cases, verify what was written."""

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from slicefill.fingerprint import fingerprint
from slicefill.params import ImputationParams
from slicefill.types import Case, Models, Promise

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
    imputer = _imputer(name, models, params)
    rule = params.model_dump(exclude={"methods", "cases", "batch_pixels"})  # these change no case
    return {
        case: Promise(
            partial(_fill, promise, imputer, params),
            fingerprint(promise.fingerprint, imputer.mark, rule),
        )
        for case, promise in thick_cases.items()
    }


def _imputer(name: str, models: Models, params: ImputationParams) -> "Imputer":
    from slicefill.imputation import classical_imputer, learned_imputer
    from slicefill.interpolation.classical import CLASSICAL

    if name in CLASSICAL:
        return classical_imputer(name, params)
    if name not in models:
        msg = (
            f"imputation.methods: no trained model {name!r} (found: {', '.join(models) or 'none'});"
            f" train it with `kedro run --pipelines=synthesis --params variant={name}`, or choose "
            f"among {', '.join(CLASSICAL)}: `--params 'imputation.methods=[linear]'`"
        )
        raise ValueError(msg)
    return learned_imputer(name, models[name](), params)


def _fill(promise: Promise, imputer: "Imputer", params: ImputationParams) -> Case:
    from slicefill.imputation import fill_case

    return fill_case(promise.make(), imputer, params)


def verify_filled(
    filled_cases: dict[str, Promise], thick_cases: dict[str, Promise], params: ImputationParams
) -> pd.DataFrame:
    """Compare every case that this run wrote with its source, slice by slice."""
    return verify_groups(filled_cases, thick_cases, params.methods)


def verify_groups(
    filled_cases: dict[str, Promise], thick_cases: dict[str, Promise], groups: list[str]
) -> pd.DataFrame:
    """Compare the filled cases of some methods with their source; other runs' are left alone.

    Returns:
        One row per filled case whose record claims untouched acquired slices: `passed`, and the
        differences found. Super-resolution changes them, and its record says so.

    Raises:
        ValueError: If any acquired slice, geometry or label id differs.
    """
    from slicefill.verification import verify_filling

    rows = []
    for name, promise in filled_cases.items():
        method, case = name.rsplit("/", 1)
        if method not in groups:
            continue
        filled = promise.make()
        if filled.record["acquired_slices"] == "kept":
            found = verify_filling(filled, thick_cases[case].make())
            rows.append((method, case, not found, "; ".join(found)))
    table = pd.DataFrame(rows, columns=["method", "case", "passed", "differences"])
    if not table["passed"].all():
        msg = f"verification failed:\n{table[~table['passed']].to_string(index=False)}"
        raise ValueError(msg)
    return table

"""Imputation nodes: choose cases and methods, promise filled cases, verify what was written."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill.fingerprint import fingerprint
from slicefill.params import ImputationParams
from slicefill.types import Case, Promise

if TYPE_CHECKING:
    from slicefill.imputation import Imputer

Models = dict[str, Callable[[], dict[str, Any]]]


def fill_cases(
    thick_cases: dict[str, Promise], splits: pd.DataFrame, models: Models, params: ImputationParams
) -> dict[str, Promise]:
    """Promise one filled case per method and case, as `method/case`."""
    wanted = splits["case"] if params.cases == "all" else splits.query("split == 'test'")["case"]
    imputers = [_imputer(name, models, params) for name in params.methods]
    rule = params.model_dump(exclude={"methods", "cases", "batch_pixels"})  # these change no case
    return {
        f"{imputer.name}/{case}": Promise(
            partial(_fill, thick_cases[case], imputer, params),
            fingerprint(thick_cases[case].fingerprint, imputer.mark, rule),
        )
        for imputer in imputers
        for case in wanted
        if case in thick_cases
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
    filled_cases: dict[str, Promise], thick_cases: dict[str, Promise]
) -> pd.DataFrame:
    """Compare every written case with its source, slice by slice.

    Returns:
        One row per filled case: `passed`, and the differences found.

    Raises:
        ValueError: If any acquired slice, geometry or label id differs.
    """
    from slicefill.verification import verify_filling

    rows = []
    for name, promise in filled_cases.items():
        method, case = name.rsplit("/", 1)
        found = verify_filling(promise.make(), thick_cases[case].make())
        rows.append((method, case, not found, "; ".join(found)))
    table = pd.DataFrame(rows, columns=["method", "case", "passed", "differences"])
    if not table["passed"].all():
        msg = f"verification failed:\n{table[~table['passed']].to_string(index=False)}"
        raise ValueError(msg)
    return table

"""Evaluation node: gain of adaptation on held-out slices."""

import pandas as pd

from slicefill.imputation.methods.pretrained import ADAPTED
from slicefill.types import Promise, read_record

_GAINS = ("gain_db", "standard_error", "groups", "better", "p")


def tabulate_adaptation(imputed_cases: dict[str, Promise]) -> pd.DataFrame:
    """Tabulate what adaptation gained on held-out slices, as the first adapted case records it.

    Returns:
        A row per kind of group; none where no case was imputed by adapted weights.
    """
    adapted = (imputed_cases[name] for name in imputed_cases if name.startswith(f"{ADAPTED}/"))
    first = next(adapted, None)
    found = read_record(first)["adaptation"] if first else {"kinds": {}}
    shared = {name: found.get(name) for name in ("used", "steps")}
    rows = [{"slices": kind, **own, **shared} for kind, own in found["kinds"].items()]
    return pd.DataFrame(rows, columns=["slices", *_GAINS, *shared])

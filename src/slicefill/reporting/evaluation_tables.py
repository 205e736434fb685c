"""Tables of the evaluation from the results of its cases."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from slicefill.execution.serial import Failure
from slicefill.imputation.methods.adapted.params import DICE_GAINS, GAINS
from slicefill.imputation.methods.pretrained import ADAPTED
from slicefill.metrics import REAL
from slicefill.metrics.evaluation import CaseResult, MethodResult
from slicefill.metrics.realism.ellipses import ellipses
from slicefill.metrics.sets import BySubject, score_set
from slicefill.metrics.statistics import SUMMARY
from slicefill.types import Models

logger = logging.getLogger(__name__)
Results = Mapping[str, MethodResult | Failure]
"""By `method/case`."""
_NO_SPREAD = dict.fromkeys(("sd", "ci_low", "ci_high"), math.nan)  # of a single value


def tabulate_results(
    results: Mapping[str, CaseResult],
    order: Sequence[str],
    splits: pd.DataFrame,
    requested: Sequence[str] = (),
) -> tuple[
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    dict[str, Any],
]:
    """Lay the results of all cases out.

    Args:
        results: By case.
        order: What was imputed, `method/case`, in the order of the rows.
        splits: `case`, `subject`, `split`; other cases are left aside.
        requested: As `evaluation.metrics`.

    Returns:
        Scores, cases that could not be scored, metrics per set, ellipses, slices, risk-coverage
        curves and figures, as the node `tabulate_scores` says.

    Raises:
        ValueError: If no case could be scored because each one failed.
    """
    subjects = dict(zip(splits["case"], splits["subject"], strict=True))
    test = set(splits["case"][splits["split"] == "test"])
    found = _by_method(results, [name for name in order if name.rpartition("/")[2] in subjects])
    tested = {name: own for name, own in found.items() if name.rpartition("/")[2] in test}
    scores, unscored = _scores(tested, subjects)
    done = {name: own for name, own in found.items() if isinstance(own, MethodResult)}
    slices = _join({name: own.slices for name, own in done.items()}, subjects)
    curves = _join({name: own.curves for name, own in done.items()}, subjects)
    sets = _sets(done, subjects, _learned_from(results, subjects))
    per_set = _set_scores(sets, requested)
    return scores, unscored, per_set, ellipses(sets), slices, curves, _figures(results)


def _by_method(
    results: Mapping[str, CaseResult], order: Sequence[str]
) -> dict[str, MethodResult | Failure]:
    """Name results by `method/case`; a case whose worker was lost is lost for all methods."""
    lost = CaseResult({}, {})
    return {
        name: results.get(case, lost).methods.get(method, Failure("its evaluation failed"))
        for name in order
        for method, _, case in [name.rpartition("/")]
    }


def _scores(tested: Results, subjects: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, unscored = [], []
    for name, own in tested.items():
        method, _, case = name.rpartition("/")
        if isinstance(own, Failure):
            logger.error("%s is not scored: %s", name, own.reason)
            logger.debug("%s", own.trace)
        if own.reason:
            unscored.append({"case": name, "reason": own.reason})
        elif isinstance(own, MethodResult) and own.scores is not None:
            rows.append({"case": case, "subject": subjects[case], "method": method, **own.scores})
        else:
            logger.warning("%s is not scored: no true slice lies where a synthetic one does", name)
    if unscored and len(unscored) == len(tested):
        first = unscored[0]["reason"]
        msg = f"none of {len(unscored)} imputed cases could be scored: {first}"
        raise ValueError(msg)
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["case", "subject", "method"])
    return table, pd.DataFrame(unscored, columns=["case", "reason"])


def _sets(
    done: Mapping[str, MethodResult], subjects: Mapping[str, str], training: BySubject
) -> dict[str, tuple[BySubject, BySubject]]:
    """Gather, by method, what is described of the cases that are scored, and of training."""
    sets: dict[str, dict[str, list[Any]]] = {}
    for name, one in done.items():
        method, _, case = name.rpartition("/")
        if one.scores is not None:
            sets.setdefault(method, {}).setdefault(subjects[case], []).append(one.described)
    return {method: (own, training) for method, own in sets.items()}


def _learned_from(results: Mapping[str, CaseResult], subjects: Mapping[str, str]) -> BySubject:
    """What is described of the cases of training, by subject."""
    found: dict[str, list[Any]] = {}
    for case, result in results.items():
        one = result.methods.get(REAL)
        if isinstance(one, MethodResult):
            found.setdefault(subjects[case], []).append(one.described)
    return found


def _set_scores(
    sets: Mapping[str, tuple[BySubject, BySubject]], requested: Sequence[str]
) -> pd.DataFrame:
    """Measure all cases of a method together; rows as `metrics.statistics.summarise_scores`.

    The row of real slices against real ones is that of the method with the most subjects.
    """
    rows = []
    for method, (cases, training) in sets.items():
        rows += _rows(method, len(cases), score_set(cases, training, requested))
    if sets:
        cases, training = max(sets.values(), key=lambda own: len(own[0]))
        rows += _rows(REAL, len(cases), score_set(cases, training, requested, control=True))
    return pd.DataFrame(rows, columns=SUMMARY)


def _rows(method: str, subjects: int, values: Mapping[str, float]) -> list[dict[str, Any]]:
    shared = {"trainings": 1, "dropped": 0, "noise": "", **_NO_SPREAD}
    return [
        {"method": method, "metric": column, "n": subjects, "mean": value, **shared}
        for column, value in values.items()
    ]


def _figures(results: Mapping[str, CaseResult]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for case, result in results.items():
        if isinstance(result.figures, Failure):
            logger.error("%s is not drawn: %s", case, result.figures.reason)
            logger.debug("%s", result.figures.trace)
        else:
            figures |= result.figures
    return figures


def _join(tables: Mapping[str, pd.DataFrame], subjects: Mapping[str, str]) -> pd.DataFrame:
    """Stack the tables of all imputed cases, `method/case`, and say whose each row is."""
    rows = [pd.DataFrame(columns=["method", "case", "subject"])]
    for name, table in tables.items():
        method, _, case = name.rpartition("/")
        whose = {"method": method, "case": case, "subject": subjects[case]}
        rows.append(table.assign(**whose)[[*whose, *table]])
    return pd.concat([each for each in rows if not each.empty] or rows)


def tabulate_adaptation(models: Models) -> pd.DataFrame:
    """Tabulate what adaptation gained on held-out slices, as the model records it.

    Returns:
        A row per kind of group and one, `labels`, of labelled slices where there are any, with
        `used`, the weights that impute (`adapted` or `pretrained`), and the `reason`; none where
        nothing was adapted.
    """
    model = models[ADAPTED]() if ADAPTED in models else {}
    found = model.get("adaptation", {"kinds": {}})
    shared = {name: found.get(name) for name in ("used", "steps", "reason")}
    rows = [{"slices": kind, **own, **shared} for kind, own in found["kinds"].items()]
    if labels := found.get("labels"):
        dice = {name: labels[name] for name in DICE_GAINS}
        rows.append({"slices": "labels", "groups": labels["slices"], **dice, **shared})
    return pd.DataFrame(rows, columns=["slices", *GAINS, *DICE_GAINS, *shared])

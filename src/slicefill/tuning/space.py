"""The search space: dotted names of `synthesis` parameters, drawn and put in place."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from slicefill.imputation.methods.slice_imputation.losses import TERMS
from slicefill.imputation.methods.slice_imputation.params import TUNED, SynthesisParams
from slicefill.params.tuning import Choices, Range

logger = logging.getLogger(__name__)
Values = dict[str, Any]
_SECTIONS = ("network", "optimisation")
# With another value of these, trials would not be scored alike, or not step by step.
_COMMON = {"seed", "validation_groups", "epochs", "pretraining_epochs"}


def tunable(params: SynthesisParams) -> Values:
    """Return every name that can be tuned, with its value now.

    `weights.<λ>` is the λ of the preset in use, for every loss term. Parameters that decide which
    groups are scored (`groups`, `window`, the seed) are left out: trials would not be comparable.
    """
    values: Values = _weights(params, params.preset)
    for section in _SECTIONS:
        for name, value in getattr(params, section).model_dump().items():
            if name not in _COMMON:
                values[f"{section}.{name}"] = value
    return values | {"critic_width": params.critic_width}


def apply_values(params: SynthesisParams, values: Mapping[str, Any]) -> SynthesisParams:
    """Put values in place by their dotted names; `weights.<λ>` goes into the preset in use.

    Raises:
        ValueError: If a name is unknown, or a value does not fit it.
    """
    plain = params.model_dump()
    for name, value in values.items():
        *parents, last = _path(name, params)
        section = plain
        for parent in parents:
            section = section.get(parent, {}) if isinstance(section, dict) else {}
        known_term = parents[:1] == ["weights"] and last in TERMS
        if not isinstance(section, dict) or (last not in section and not known_term):
            known = ", ".join(tunable(params))
            msg = f"synthesis has no parameter {name!r}; expected a name such as {known}"
            raise ValueError(msg)
        section[last] = value
    return SynthesisParams.model_validate(plain)


def use_best(params: SynthesisParams, best: Mapping[str, Any]) -> SynthesisParams:
    """Put the values that tuning found in place, where the preset in use is `tuned`.

    Args:
        params: Of a training.
        best: As `describe_best` returns it; empty where nothing was tuned: then the preset stays
            as it is in `conf/`.
    """
    if params.preset != TUNED:
        return params
    if not best:
        logger.info("preset tuned: as in conf, because this experiment was not tuned itself")
        return params
    logger.info("preset tuned: %s of study %s", best["values"], best["study"])
    return apply_values(params, best["values"])


def check_space(space: Mapping[str, Range | Choices], params: SynthesisParams) -> None:
    """Refuse names that cannot be tuned and values out of bounds, before any trial.

    Raises:
        ValueError: Naming what is wrong and what can be tuned.
    """
    known = tunable(params)
    for name, tried in space.items():
        if name not in known:
            msg = f"tuning.space: {name!r} cannot be tuned; expected one of {', '.join(known)}"
            raise ValueError(msg)
        ends = [tried.low, tried.high] if isinstance(tried, Range) else tried.choices
        for value in ends:
            apply_values(params, {name: _of_kind(known[name], value)})


def suggest(
    trial: optuna.Trial, space: Mapping[str, Range | Choices], params: SynthesisParams
) -> Values:
    """Draw a value for every name: a whole number where the parameter is one."""
    known = tunable(params)
    values: Values = {}
    for name, tried in space.items():
        if isinstance(tried, Choices):
            values[name] = trial.suggest_categorical(name, tried.choices)
        elif isinstance(known[name], int):
            low, high = int(tried.low), int(tried.high)
            values[name] = trial.suggest_int(name, low, high, log=tried.log)
        else:
            values[name] = trial.suggest_float(name, tried.low, tried.high, log=tried.log)
    return values


def starting_values(
    presets: Sequence[str], space: Mapping[str, Range | Choices], params: SynthesisParams
) -> dict[str, Values]:
    """Return the values of presets, in the names of the space, to be tried first.

    λ count relative to each other. Where `weights.rec` is not tuned, those of a preset are
    scaled so that its λ_rec becomes that of the preset in use.

    Raises:
        ValueError: If a preset is unknown or its values lie outside the space.
    """
    known = tunable(params)
    made: dict[str, Values] = {}
    for preset in presets:
        if preset not in params.weights:
            msg = f"tuning.start: no preset {preset!r}; there is {', '.join(params.weights)}"
            raise ValueError(msg)
        weights = _weights(params, preset)
        scale = 1.0 if "weights.rec" in space else known["weights.rec"] / weights["weights.rec"]
        own = known | {name: value * scale for name, value in weights.items()}
        values = {name: own[name] for name in space}
        for name, tried in space.items():
            _require_inside(f"{name} of tuning.start {preset}", values[name], tried)
        made[preset] = values
    return made


def _require_inside(what: str, value: Any, tried: Range | Choices) -> None:
    if isinstance(tried, Range):
        inside = value is not None and tried.low <= value <= tried.high
    else:
        inside = value in tried.choices
    if not inside:
        msg = f"{what} is {value}, outside of {tried}: widen tuning.space, or take it out of start"
        raise ValueError(msg)


def _path(name: str, params: SynthesisParams) -> list[str]:
    section, *rest = name.split(".")
    if section == "weights" and rest and rest[0] in TERMS:
        return ["weights", params.preset, *rest]
    return [section, *rest]


def _weights(params: SynthesisParams, preset: str) -> Values:
    """Return the λ of a preset for every loss term, by dotted name; 0 where it is absent."""
    given = params.weights[preset]
    return {f"weights.{name}": given.get(name, 0.0) for name in TERMS}


def _of_kind(current: Any, value: Any) -> Any:
    return int(value) if isinstance(current, int) and not isinstance(value, str) else value

"""The commands that messages advise: typed as they stand, they act on the run in use."""

import shlex
from collections.abc import Mapping

_DESIGN = ("axis", "factor", "variant", "preset", "seed")  # overrides that name folders
_in_use: list[str] = []  # options of the run in use
_params: dict[str, str] = {}


def remember_run(environment: str | None, overrides: Mapping[str, object]) -> None:
    """Remember the environment and the design of the run in use.

    Args:
        environment: A folder of `conf/`; None for the embedded sample.
        overrides: What `--params` set; of these, the ones that name folders are repeated.
    """
    _in_use[:] = [f"--env={environment}"] if environment else []
    _params.clear()
    _params.update({name: str(overrides[name]) for name in _DESIGN if name in overrides})


def kedro_run(pipeline: str, **params: object) -> str:
    """Return the command that runs a pipeline in the environment and design in use.

    Args:
        pipeline: Its name.
        params: Overrides of the design; each replaces one in use.

    Example:
        >>> remember_run("scans", {"axis": "A", "imputation.count": 3})
        >>> kedro_run("adaptation")
        'kedro run --env=scans --pipelines=adaptation --params axis=A'
        >>> kedro_run("synthesis", axis="S")
        'kedro run --env=scans --pipelines=synthesis --params axis=S'
        >>> remember_run(None, {})
        >>> kedro_run("adaptation")
        'kedro run --pipelines=adaptation'
    """
    words = ["kedro", "run", *_in_use, f"--pipelines={pipeline}"]
    given = {**_params, **params}
    if given:
        words += ["--params", ",".join(f"{name}={value}" for name, value in given.items())]
    return shlex.join(words)

"""`kedro run` of this project: lists in `--params`, and in few lines what the user can mend."""

import copy
import logging
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import settings
from kedro.io import DatasetError
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf
from yaml import YAMLError

from slicefill.plugins import list_kinds

_OURS = tuple(str(Path(sys.modules[name].__file__ or "").parent) for name in ("slicefill", "kedro"))
_SPEAKING = ("kedro", "omegaconf", "pydantic_core", "yaml")  # their errors are of configuration
_OPEN, _CLOSE = "[{", "]}"
_NOISE = re.compile(r"\n\s*For further information visit \S+")  # pydantic's


@click.group()
def cli() -> None:
    """Commands that replace those of Kedro."""


def split_params(ctx: click.Context, option: click.Parameter, value: Any) -> dict[str, Any]:
    """Read the value of `--params`; a comma inside brackets divides a list, not the parameters.

    Args:
        ctx: Of the command.
        option: `--params`.
        value: Its text, or a mapping from a file that `--config` names.

    Raises:
        click.BadParameter: If a part of it is not `name=value`.

    Example:
        >>> split_params(None, None, "seed=1,imputation.methods=[cubic,linear]")
        {'seed': 1, 'imputation': {'methods': ['cubic', 'linear']}}
    """
    if isinstance(value, dict):
        return value
    items = split_items(value)
    for item in items:
        name, given, _ = item.partition("=")
        if not (name.strip() and given):
            msg = f"expected name=value, with a comma between two of them, got {item!r}"
            raise click.BadParameter(msg, ctx, option)
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.from_dotlist(items))
    except YAMLError as error:
        msg = f"expected values as in YAML, with every bracket closed, got {value!r}"
        raise click.BadParameter(msg, ctx, option) from error
    return dict(plain)


def known_pipelines(_: click.Context, option: click.Parameter, value: str) -> list[str]:
    """Read the names in `--pipelines`.

    Raises:
        click.BadParameter: If there is no such pipeline.
    """
    known = ["__default__", *list_kinds("slicefill.pipelines")]
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in known:
            msg = f"expected some of {', '.join(known[1:])}, got {name!r}"
            raise click.BadParameter(msg, param=option)
    return names


def split_items(text: str) -> list[str]:
    """Divide a text at its commas, but for those inside brackets.

    Example:
        >>> split_items("seed=1,imputation.methods=[cubic,linear]")
        ['seed=1', 'imputation.methods=[cubic,linear]']
    """
    items, depth = [""], 0
    for sign in text:
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if sign == "," and depth == 0:
            items.append("")
        else:
            items[-1] += sign
    return [item.strip() for item in items if item.strip()]


class Run(click.Command):
    """Kedro's command; an error that the user can mend is told without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the pipelines.

        Raises:
            click.ClickException: Exit code 1, with what is wrong and what to do.
        """
        verbose = ctx.params.pop("verbose")
        if verbose:
            logging.getLogger("slicefill").setLevel(logging.DEBUG)
        _check_environment(ctx.params["env"], Path(ctx.params["conf_source"] or _conf()))
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _end)
        try:
            return super().invoke(ctx)
        except Exception as error:
            if verbose or not is_mendable(error):
                raise
            raise click.ClickException(_in_few_lines(error)) from error


def _conf() -> Path:
    return Path(find_kedro_project(Path.cwd()) or Path.cwd(), settings.CONF_SOURCE)


def _check_environment(env: str | None, conf: Path) -> None:
    """Refuse an environment that is not there; an archive of a configuration is not looked into."""
    if env and conf.is_dir() and not (conf / env).is_dir():
        names = sorted(folder.name for folder in conf.iterdir() if folder.is_dir())
        msg = f"expected one of {', '.join(names)}, got {env!r}"
        raise click.BadParameter(msg, param_hint="--env")


def is_mendable(error: BaseException) -> bool:
    """Whether an error says what is wrong with files or parameters; any other is one of the code.

    It is if it comes from the file system, or was raised on purpose: by this package or Kedro.
    """
    if isinstance(error, DatasetError):
        return isinstance(error.__cause__, DatasetError | OSError | ValueError | None)
    if isinstance(error, OSError):
        return True
    if type(error).__module__.partition(".")[0] in _SPEAKING:
        return True
    return isinstance(error, ValueError) and _origin(error).startswith(_OURS)


def _origin(error: BaseException) -> str:
    """File whose code raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return frames[-1].filename if frames else ""


def _in_few_lines(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(error, DatasetError) and cause and _origin(cause).startswith(_OURS[0]):
        error = cause  # without what Kedro says around it
    told = _NOISE.sub("", str(error)) or type(error).__name__
    return f"{told}\n(kedro run --verbose, or SLICEFILL_TRACEBACK=1, shows where it was raised)"


def _end(number: int, _: object) -> NoReturn:
    """End as after an error: workers are stopped and the tracked run is closed."""
    sys.exit(128 + number)


def _options() -> list[click.Parameter]:
    options = [copy.copy(option) for option in kedro_run.params]
    checks = {"params": split_params, "pipelines": known_pipelines}
    for option in options:
        option.callback = checks.get(option.name or "", option.callback)
    verbose = click.Option(
        ["--verbose"],
        is_flag=True,
        envvar="SLICEFILL_TRACEBACK",
        help="Show more of what happens, and the traceback of every error.",
    )
    return [*options, verbose]


run = Run("run", callback=kedro_run.callback, params=_options(), help=kedro_run.help)
cli.add_command(run)

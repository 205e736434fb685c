"""The imputation methods, a KIND: every file or package in this folder is one.

A method stands in `conf/` as an entry of `methods`: its `kind`, which is the name of the file, and
the fields of the file's `Params`. `docs/how-to/new_method.md` writes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from slicefill.params import REPEAT, ImputationParams
from slicefill.plugins import System, find_system
from slicefill.types import Checkpoint, Method, Promise, Stack

if TYPE_CHECKING:  # bring torch and pandas
    import numpy as np
    import pandas as pd

    from slicefill.training.fit import Run


@dataclass(frozen=True)
class LearningData:
    """What a method may learn from.

    Attributes:
        acquired: Cases of acquired slices alone, by case id.
        isotropic: The same before slices were removed; empty where that is not known.
        splits: One row per case: `case`, `subject`, `split` (train, validation or test).
        imputed: Ids of the cases that this run imputes: adaptation learns from their acquired
            slices.
    """

    acquired: Mapping[str, Promise]
    isotropic: Mapping[str, Promise]
    splits: "pd.DataFrame"
    imputed: Sequence[str] = ()


FOLDER = __name__


class MethodFile(Protocol):
    """What a file in this folder defines.

    `Params` and `load` are a must. A file that says `SECTION = "synthesis"` takes from that section
    of the parameters what an entry does not set. `train` and `training_fingerprint` stand in a file
    whose method learns, `read` in one whose weights are there without training. A file that
    finishes what another method makes has `base` and `finish` instead of `load`.
    """

    Params: type[BaseModel]

    def load(
        self, params: Any, checkpoint: Checkpoint | None, imputation: ImputationParams
    ) -> Method:
        """Prepare the method.

        Args:
            params: The entry, validated; None for a checkpoint that is served without one.
            checkpoint: What `train` or `read` returned; None for a method that does not learn.
            imputation: Device, precision, batch size, and how labels and confidence are made.
        """

    def train(self, data: LearningData, params: Any, run: "Run") -> Checkpoint:
        """Train, and return what `load` needs: tensors and plain values.

        Among them `kind` (the file's name), `weights` (a state dict), `window` (which intensities
        the network sees as 0 and 1), `version`, `history` and `fingerprint`.
        """

    def training_fingerprint(self, data: LearningData, params: Any) -> str:
        """Return the fingerprint of all that the checkpoint depends on, before it is trained."""

    def read(self) -> Checkpoint:
        """Return weights that are there without training."""

    def base(self, params: Any) -> System:
        """Return the method whose slices are finished; it needs no training."""

    def finish(
        self, params: Any, stack: Stack, method: Method, rng: "np.random.Generator"
    ) -> tuple[Method, dict[str, Any]]:
        """Return the base method with its slices finished; `stack` is the whole scan.

        And what is known of it, plain values for the record (`finished`), which the method may
        complete while it imputes. Where intervals have different numbers of slices, the base method
        says how many (`SyntheticSlices.counts`).
        """


def find_method(name: str, parameters: Mapping[str, Any]) -> System:
    """Return the method of an entry of `methods`.

    Args:
        name: Of the entry, or of a repetition of its training (`repeat_of`).
        parameters: All parameters: `methods`, and the sections that its kind may share.

    Raises:
        ValueError: If there is no such entry or kind, or the entry does not fit its `Params`.
    """
    entries = parameters["methods"]
    base, _, number = (name, "", "") if name in entries else name.rpartition(REPEAT)
    if base not in entries or (number and not number.isdecimal()):
        msg = f"methods: expected one of {', '.join(entries)}, got {name!r}"
        raise ValueError(msg)
    system = find_system(FOLDER, f"methods.{base}", entries[base], parameters)
    if not number:
        return system
    return replace(system, name=name, params=system.params.repeated(int(number)))


def list_repeats(name: str, count: int, parameters: Mapping[str, Any]) -> list[str]:
    """Name the trainings of a method that are repeated, each with a seed of its own.

    Args:
        name: Of the entry.
        count: How many trainings, the entry's own included.
        parameters: All parameters.

    Returns:
        The names, which `find_method` knows; only the entry's own where nothing is trained, or
        where the `Params` of its kind have no `repeated`.
    """
    system = find_method(name, parameters)
    if not (system.has("train") and hasattr(system.params, "repeated")):
        return [name]
    return [repeat_of(name, number) for number in range(count)]


def repeat_of(name: str, number: int) -> str:
    """Name the repetition of a training.

    Example:
        >>> repeat_of("iia", 0), repeat_of("iia", 1)
        ('iia', 'iia_repeat1')
    """
    return f"{name}{REPEAT}{number}" if number else name

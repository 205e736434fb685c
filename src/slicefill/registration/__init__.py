"""Registration of views, a KIND: every file in this folder is one."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from slicefill.plugins import find_system
from slicefill.types import Case, Checkpoint

FOLDER = __name__


class RegistrationFile(Protocol):
    """What a file in this folder defines.

    A kind that learns has two functions more: `train(groups, params, run, *, own, hardware)`, from
    the views of training subjects to a checkpoint, and `training_fingerprint(views, params)`, of
    fingerprints by name; its `register` takes the checkpoint as `model`.
    """

    Params: type[BaseModel]

    def register(self, reference: Case, moving: Case, params: Any) -> NDArray[np.float64]:
        """Find where a view lies.

        Args:
            reference: The view that stays.
            moving: Another view of the same subject.
            params: The entry, validated.

        Returns:
            From positions in the world of the reference to those of the same tissue in the world
            of the moving view, rigid, `(4, 4)`, mm, RAS.
        """


def register(
    reference: Case, moving: Case, entry: dict[str, Any], model: Checkpoint | None = None
) -> NDArray[np.float64]:
    """Register a view by an entry of `conf/`: its `kind` and fields of its `Params`.

    Args:
        reference: The view that stays.
        moving: Another view of the same subject.
        entry: The kind and its fields.
        model: Of a kind that learns: what its training returned.

    Raises:
        ValueError: If there is no such kind, the entry does not fit its `Params`, or the views
            cannot be registered.
    """
    system = find_system(FOLDER, "registration", entry)
    learned = {} if model is None else {"model": model}
    matrix: NDArray[np.float64] = system.module.register(
        reference, moving, system.params, **learned
    )
    return matrix


def displacement_error(found: Any, truth: Any, points: Any) -> float:
    """Mean distance between where two matrices put the same points, mm.

    Args:
        found: `(4, 4)`.
        truth: `(4, 4)`.
        points: Positions in the world of the reference, mm, `(n, 3)`.

    Example:
        >>> found = np.eye(4)
        >>> found[:3, 3] = 3, 0, 4
        >>> displacement_error(found, np.eye(4), np.zeros((2, 3)))
        5.0
    """
    ones = np.c_[points, np.ones(len(points))]
    apart = ones @ (np.asarray(found) - np.asarray(truth)).T
    return float(np.linalg.norm(apart[:, :3], axis=1).mean())

"""The true alignment of simulated views: an upper bound of what registration can reach."""

import numpy as np
from numpy.typing import NDArray

from slicefill.params.base import Params as BaseParams
from slicefill.simulation.views import TRUTH
from slicefill.types import Case


class Params(BaseParams):
    """Nothing is to be chosen."""


def register(reference: Case, moving: Case, params: Params) -> NDArray[np.float64]:
    """Return what the simulation has recorded (`RegistrationFile`).

    Raises:
        ValueError: If a view is not simulated.
    """
    for view in (reference, moving):
        if TRUTH not in view.record:
            msg = (
                f"registration truth: expected simulated views, whose record holds {TRUTH!r}, got "
                f"{', '.join(view.record) or 'none'}; set registration to rigid"
            )
            raise ValueError(msg)
    return np.asarray(moving.record[TRUTH]) @ np.linalg.inv(reference.record[TRUTH])

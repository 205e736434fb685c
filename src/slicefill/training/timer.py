"""A limit on the time of a training run."""

import time

from lightning_fabric import Fabric

from slicefill.training.hardware import first_for_all


class Timer:
    """Measures the time spent on a run, in all its parts if it was interrupted.

    It starts when it is made. What is learned within a limit of time depends on the machine.

    Args:
        limit: Minutes that the run may take.
        fabric: Of the run; the clock of rank 0 counts for all processes.
    """

    def __init__(self, limit: float, fabric: Fabric) -> None:
        self._limit, self._fabric = limit, fabric
        self._began = time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes spent on the run so far, by the clock of this process."""
        return (time.monotonic() - self._began) / 60

    def spent(self) -> float:
        """Return the fraction of the limit that the run has used, the same for all processes."""
        return first_for_all(self._fabric, lambda: self.minutes) / self._limit

    def restore(self, minutes: float) -> None:
        """Continue as if so many minutes had been spent already."""
        self._began = time.monotonic() - 60 * minutes

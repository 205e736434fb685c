"""A slot for trainings that are too short to be continued."""

from slicefill.training.fit import State


class Stateless:
    """Keeps no state: a trial that was stopped starts anew."""

    def load(self) -> State | None:
        """Return None."""
        return None

    def save(self, state: State) -> None:
        """Do nothing."""

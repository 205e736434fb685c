"""The journal in which Optuna keeps studies, as an input of Kedro."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError


class JournalDataset(AbstractDataset[NoReturn, str]):
    """Path of the journal in which Optuna keeps studies; it need not exist."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = path
        self.metadata = metadata

    def load(self) -> str:
        """Return the path."""
        return self._path

    def save(self, data: NoReturn) -> None:
        """Refuse: studies write the journal."""
        msg = f"{self._path}: this dataset is an input only; Optuna writes it"
        raise DatasetError(msg)

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}

"""Results of tuning on disk: the journal of a study, and the best values."""

import json
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from slicefill.io.storage import location, read_file, replace_file


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


class BestValuesDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Best values of a tuning study as JSON; loads to an empty dict where nothing was tuned."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = location(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return the content of the file, if there is one."""
        try:
            return dict(json.loads(read_file(self._filepath)))
        except FileNotFoundError:
            return {}

    def save(self, data: dict[str, Any]) -> None:
        """Replace the file, whole or not at all."""
        replace_file(self._filepath, (json.dumps(data, indent=1) + "\n").encode())

    def _exists(self) -> bool:
        return bool(self._filepath.exists())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

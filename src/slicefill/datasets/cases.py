"""A folder of cases as one Kedro dataset: lazy, resumable, one failure does not stop the rest."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from slicefill.datasets.case_folder import (
    read_case,
    read_prediction,
    read_record,
    write_case,
    write_prediction,
)
from slicefill.datasets.promises import inside, make_each, read_failures, replace_json
from slicefill.types import Lazy

_COMPLETE = "_COMPLETE"
_CONTENTS: Mapping[str, tuple[Callable[[Path], Any], Callable[[Any, Path], None]]] = {
    "case": (read_case, write_case),
    "prediction": (read_prediction, write_prediction),
}


class CasesDataset(AbstractDataset[Mapping[str, Lazy[Any]], dict[str, Lazy[Any]]]):
    """Cases under a folder, each in a folder of its own (`slicefill.datasets.case_folder`).

    Saving takes promises: each is made and written in turn, so that one case is in memory at a
    time. A case on disk with the promise's fingerprint is skipped; any other is made again. A
    case that fails is listed in `_failed.json` and the others go on. Only when all are there
    does the dataset exist for `kedro run --only-missing-outputs`.

    Example:
        ```yaml
        cases:
          type: slicefill.datasets.cases.CasesDataset
          path: data/02_intermediate/sample/cases
          made_by: ingestion
        ```
    """

    def __init__(
        self,
        *,
        path: str,
        made_by: str,
        group: str | None = None,
        content: str = "case",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Point to a folder.

        Args:
            path: Folder that holds the case folders.
            made_by: Pipeline that makes these cases, named in the error when there are none.
            group: Where ids are `group/case`: the group without which the set does not exist. A
                save replaces the groups it is given; others stay.
            content: What a promise makes: `case` (`Case`) or `prediction` (`Prediction`).
            metadata: For plugins; not used here.
        """
        if content not in _CONTENTS:
            msg = f"{path}: content: expected one of {', '.join(_CONTENTS)}, got {content!r}"
            raise DatasetError(msg)
        self._path = Path(path)
        self._made_by = made_by
        self._group = group
        self._content = content
        self._read, self._write = _CONTENTS[content]
        self.metadata = metadata

    def load(self) -> dict[str, Lazy[Any]]:
        """Return a promise per case on disk, by id (`case` or `method/case`)."""
        if not (self._path / _COMPLETE).exists():
            msg = (
                f"{self._path}: expected finished cases, found none or only some of them; "
                f"first run: kedro run --pipelines={self._made_by}"
            )
            raise DatasetError(msg)
        return {case: self._stored(case) for case in self._ids()}

    def save(self, data: Mapping[str, Lazy[Any]]) -> None:
        """Make and write what is not there yet."""
        others = self._other_groups(data)
        (self._path / _COMPLETE).unlink(missing_ok=True)
        if others:
            replace_json(self._path / _COMPLETE, others)
        failed = make_each(data, self._save_case, self._drop_case, self._path, "case")
        if failed and len(failed) == len(data) and not any("/" in case for case in data):
            first, reason = next(iter(failed.items()))
            msg = (
                f"{self._path}: every case failed ({len(failed)}); the first, {first}: {reason}; "
                "mend the cause (the log above shows where each one stopped) and run again"
            )
            raise DatasetError(msg)
        others = self._other_groups(data)  # another run may have added some
        finished = others + [case for case in data if case not in failed]
        replace_json(self._path / _COMPLETE, finished)

    def failures(self) -> dict[str, str]:
        """Return the cases that failed when last saved, with the reason."""
        return read_failures(self._path)

    def _ids(self) -> list[str]:
        path = self._path / _COMPLETE
        return list(json.loads(path.read_text())) if path.exists() else []

    def _other_groups(self, data: Mapping[str, Lazy[Any]]) -> list[str]:
        """Finished cases of groups that this save does not touch."""
        saved = {case.rpartition("/")[0] for case in data}
        return [
            case for case in self._ids() if "/" in case and case.rpartition("/")[0] not in saved
        ]

    def _save_case(self, case: str, promise: Lazy[Any]) -> None:
        folder = inside(self._path, case)
        if read_record(folder).get("fingerprint") == promise.fingerprint:
            return
        made = promise.make()
        record = {**made.record, "fingerprint": promise.fingerprint}
        self._write(replace(made, record=record), folder)

    def _drop_case(self, case: str) -> None:
        shutil.rmtree(inside(self._path, case), ignore_errors=True)

    def _stored(self, case: str) -> Lazy[Any]:
        folder = inside(self._path, case)
        return Lazy(partial(self._read, folder), read_record(folder).get("fingerprint", ""))

    def _exists(self) -> bool:
        if not (self._path / _COMPLETE).exists() or self.failures():
            return False
        return self._group is None or any(c.startswith(f"{self._group}/") for c in self._ids())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "content": self._content}

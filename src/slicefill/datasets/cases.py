"""A folder of cases as one Kedro dataset: lazy, resumable, one failure does not stop the rest."""

import json
import logging
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from tqdm.auto import tqdm

from slicefill.datasets.case_folder import RECORD, read_case, read_record, write_case
from slicefill.types import Promise

logger = logging.getLogger(__name__)
_COMPLETE = "_COMPLETE"
_FAILED = "_failed.json"


class CasesDataset(AbstractDataset[Mapping[str, Promise], dict[str, Promise]]):
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
        ```
    """

    def __init__(
        self,
        *,
        path: str,
        made_by: str,
        group: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Point to a folder.

        Args:
            path: Folder that holds the case folders.
            made_by: Pipeline that makes these cases, named in the error when there are none.
            group: Where ids are `group/case`: the group without which the set does not exist. A
                save replaces the groups it is given; others stay.
            metadata: For plugins; not used here.
        """
        self._path = Path(path)
        self._made_by = made_by
        self._group = group
        self.metadata = metadata

    def load(self) -> dict[str, Promise]:
        """Return a promise per case on disk, by id (`case` or `method/case`)."""
        if not (self._path / _COMPLETE).exists():
            msg = (
                f"{self._path}: expected finished cases, found none or only some of them; "
                f"first run: kedro run --pipelines={self._made_by}"
            )
            raise DatasetError(msg)
        return {case: self._stored(case) for case in self._ids()}

    def save(self, data: Mapping[str, Promise]) -> None:
        """Make and write what is not there yet."""
        self._path.mkdir(parents=True, exist_ok=True)
        others = self._other_groups(data)
        (self._path / _COMPLETE).unlink(missing_ok=True)
        if others:
            _replace(self._path / _COMPLETE, others)
        failed: dict[str, str] = {}
        for case, promise in tqdm(data.items(), desc=self._path.name, unit="case"):
            try:
                self._save_case(case, promise)
            except Exception as error:
                logger.exception("%s: case %s failed and is left out", self._path.name, case)
                failed[case] = f"{type(error).__name__}: {error}"
                # A stale result of an earlier setting must not pass for this one.
                shutil.rmtree(self._folder(case), ignore_errors=True)
        if failed and len(failed) == len(data):
            msg = f"{self._path}: every case failed; the first: {next(iter(failed.items()))}"
            raise DatasetError(msg)
        _replace(self._path / _FAILED, failed)
        _replace(self._path / _COMPLETE, others + [case for case in data if case not in failed])

    def failures(self) -> dict[str, str]:
        """Return the cases that failed when last saved, with the reason."""
        path = self._path / _FAILED
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _ids(self) -> list[str]:
        path = self._path / _COMPLETE
        return list(json.loads(path.read_text())) if path.exists() else []

    def _other_groups(self, data: Mapping[str, Promise]) -> list[str]:
        """Finished cases of groups that this save does not touch."""
        saved = {case.rpartition("/")[0] for case in data}
        return [
            case for case in self._ids() if "/" in case and case.rpartition("/")[0] not in saved
        ]

    def _save_case(self, case: str, promise: Promise) -> None:
        folder = self._folder(case)
        if read_record(folder).get("fingerprint") == promise.fingerprint:
            return
        made = promise.make()
        record = {**made.record, "fingerprint": promise.fingerprint}
        write_case(type(made)(made.image, made.label, made.maps, record), folder)

    def _folder(self, case: str) -> Path:
        parts = PurePosixPath(case)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            msg = f"case id {case!r} must be a relative path without '..'"
            raise DatasetError(msg)
        return self._path / parts

    def _stored(self, case: str) -> Promise:
        folder = self._folder(case)
        return Promise(partial(read_case, folder), read_record(folder).get("fingerprint", ""))

    def _exists(self) -> bool:
        if not (self._path / _COMPLETE).exists() or self.failures():
            return False
        return self._group is None or any(c.startswith(f"{self._group}/") for c in self._ids())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "record": RECORD}


def _replace(path: Path, content: Any) -> None:
    """Write JSON so that the file is replaced whole or not at all."""
    partial_path = path.with_name(f".{path.name}.partial")
    partial_path.write_text(json.dumps(content, indent=1))
    partial_path.replace(path)

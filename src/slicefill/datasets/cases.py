"""A folder of cases as one lazy, resumable Kedro dataset; a failure does not stop the others."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview

from slicefill.advice import kedro_run
from slicefill.datasets.left_over import mark_left_over
from slicefill.datasets.previews import preview_case, preview_figures, preview_prediction
from slicefill.datasets.promises import (
    FAILED,
    WHOLE,
    Grouped,
    inside,
    make_each,
    read_failures,
    replace_json,
    shard_of,
)
from slicefill.execution.serial import MakeThenWrite
from slicefill.io.case_folder import (
    RECORD,
    read_case,
    read_prediction,
    read_record,
    write_case,
    write_prediction,
)
from slicefill.io.storage import (
    Location,
    location,
    read_file,
    remove_folder,
    remove_leftovers,
)
from slicefill.params import SERIAL, ExecutorParams
from slicefill.types import Lazy

logger = logging.getLogger(__name__)
_COMPLETE = "_COMPLETE"
_READERS = 32  # records read at the same time: each takes long from an object store


def _read_evaluation(folder: Location) -> Any:
    from slicefill.io.case_result import read_result

    return read_result(folder)


def _write_evaluation(made: Any, folder: Location) -> None:
    from slicefill.io.case_result import write_result

    write_result(made, folder)


def _read_finding(folder: Location) -> Any:
    from slicefill.io.findings import read_finding

    return read_finding(folder)


def _write_finding(made: Any, folder: Location) -> None:
    from slicefill.io.findings import write_finding

    write_finding(made, folder)


_CONTENTS: Mapping[str, tuple[Callable[[Location], Any], Callable[[Any, Location], None]]] = {
    "case": (read_case, write_case),
    "prediction": (read_prediction, write_prediction),
    "evaluation": (_read_evaluation, _write_evaluation),
    "finding": (_read_finding, _write_finding),
}


class CasesDataset(AbstractDataset[Mapping[str, Lazy[Any]], dict[str, Lazy[Any]]]):
    """Cases under a folder, each in a folder of its own (`slicefill.io.case_folder`).

    Saving takes promises: each is made and written by a worker of the executor, which has one
    case in memory at a time; the serial executor writes one while it makes the next. A case on
    disk with the promise's fingerprint is skipped; any other is made again. A case that fails is
    listed in `_failed.json` and the others go on. A case of an earlier save that is no longer
    promised stays, marked (`datasets.left_over`). The dataset exists for
    `kedro run --only-missing-outputs` once all cases are there. Several runs may each make a shard
    of the cases in one folder; the last run marks it complete.

    Example:
        ```yaml
        cases:
          type: slicefill.datasets.cases.CasesDataset
          path: data/02_intermediate/sample/cases
          made_by: ingestion
          executor: {kind: processes, workers: 4, scheduler: null, attempts: 3}
        ```
    """

    def __init__(
        self,
        *,
        path: str,
        made_by: str,
        group: str | None = None,
        content: str = "case",
        executor: dict[str, Any] | None = None,
        shard: str = WHOLE,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Point to a folder.

        Args:
            path: Folder that holds the case folders.
            made_by: Pipeline that makes these cases, named in the error when there are none.
            group: Where ids are `group/case`: the group without which the set does not exist. A
                save replaces the groups it is given (`promises.Grouped`); others stay.
            content: What a promise makes: `case` (`Case`), `prediction` (`Prediction`),
                `evaluation` (`CaseResult`) or `finding` (`Finding`).
            executor: What makes the cases (`slicefill.params.ExecutorParams`); serial if omitted.
            shard: Which shard of the cases a save makes, `k/n` (`shard_of`); all if omitted.
            metadata: For plugins; not used here.
        """
        if content not in _CONTENTS:
            msg = f"{path}: content: expected one of {', '.join(_CONTENTS)}, got {content!r}"
            raise DatasetError(msg)
        shard_of([], shard)  # raises if it is none
        self._path = location(path)
        self._made_by = made_by
        self._group = group
        self._content = content
        self._read, _ = _CONTENTS[content]
        self._executor = ExecutorParams(**executor) if executor else SERIAL
        self._shard = shard
        of_shard = "" if shard == WHOLE else f"-{shard.replace('/', '-of-')}"
        self._failed = self._path / FAILED.replace(".", f"{of_shard}.")
        self.made = 0  # cases that the last save made; the others were there
        self._waits = False  # for other shards of what was saved last
        self.metadata = metadata

    def load(self) -> dict[str, Lazy[Any]]:
        """Return a promise per case on disk, by id (`case` or `method/case`)."""
        if self._waits or not (self._path / _COMPLETE).exists():
            msg = (
                f"{self._path}: expected finished cases, found none or only some of them; "
                f"first run: {kedro_run(self._made_by)} (without a shard, when the "
                "runs of all shards have ended; those end with --to-outputs)"
            )
            raise DatasetError(msg)
        fingerprints = self._fingerprints(self._ids())
        gone = [case for case, own in fingerprints.items() if not own]
        if gone:
            logger.warning(
                "%s: %d finished case(s) are missing (the first: %s) and are left out; "
                "%s makes them again",
                self._path,
                len(gone),
                gone[0],
                kedro_run(self._made_by),
            )
        return {case: self._stored(case, own) for case, own in fingerprints.items() if own}

    def save(self, data: Mapping[str, Lazy[Any]]) -> None:
        """Make and write what is not there yet."""
        others = self._other_groups(data)
        mark_left_over(self._path, [case for case in self._ids() if case not in others], data)
        (self._path / _COMPLETE).unlink(missing_ok=True)
        if others:
            replace_json(self._path / _COMPLETE, others)
        write_one = partial(_write_case, self._path, self._content)
        save_one = MakeThenWrite(_make_case, write_one)
        due = self._missing({case: data[case] for case in shard_of(data, self._shard)})
        failed = make_each(due, save_one, self._drop_case, self._failed, self._executor)
        self.made = len(due) - len(failed)
        remove_leftovers(inside(self._path, case) for case in due)  # of workers that were killed
        if failed and len(failed) == len(data) and not any("/" in case for case in data):
            first, reason = next(iter(failed.items()))
            msg = (
                f"{self._path}: every case failed ({len(failed)}); the first, {first}: {reason}; "
                "remove the cause (with --verbose the log shows where each one stopped), run again"
            )
            raise DatasetError(msg)
        self._waits = self._shard != WHOLE and bool(self._missing(data))
        if self._waits:
            logger.info("%s: shard %s is done, others are not", self._path, self._shard)
        else:
            self._complete(data, failed)

    def _complete(self, data: Mapping[str, Lazy[Any]], failed: Mapping[str, str]) -> None:
        for file in self._path.glob(FAILED.replace(".", "-*.")):  # of shards
            file.unlink(missing_ok=True)
        replace_json(self._path / FAILED, failed)
        others = self._other_groups(data)  # another run may have added some
        finished = others + [case for case in data if case not in failed]
        replace_json(self._path / _COMPLETE, finished)

    def failures(self) -> dict[str, str]:
        """Return the cases that failed when last saved, with the reason."""
        return read_failures(self._failed)

    def preview(self, path: str | None = None) -> ImagePreview:
        """Draw the middle slices of one case for kedro-viz.

        Args:
            path: Of predictions: the folder of the imputed cases that they are of.
        """
        if self._content == "evaluation":
            made = (promise.make().figures for promise in self.load().values())
            return preview_figures({name: png for one in made for name, png in dict(one).items()})
        if self._content == "prediction":
            return preview_prediction(self.load(), None if path is None else location(path))
        return preview_case(self.load(), self._group)

    def _ids(self) -> list[str]:
        try:
            return list(json.loads(read_file(self._path / _COMPLETE)))
        except FileNotFoundError:
            return []

    def _other_groups(self, data: Mapping[str, Lazy[Any]]) -> list[str]:
        """Finished cases of groups that this save does not touch."""
        saved = {case.rpartition("/")[0] for case in data}
        saved.update(data.groups if isinstance(data, Grouped) else ())
        return [
            case for case in self._ids() if "/" in case and case.rpartition("/")[0] not in saved
        ]

    def _missing(self, data: Mapping[str, Lazy[Any]]) -> dict[str, Lazy[Any]]:
        """Return what does not lie on disk with its fingerprint."""
        fingerprints = self._fingerprints(data)
        return {
            case: promise
            for case, promise in data.items()
            if not fingerprints[case] or fingerprints[case] != promise.fingerprint
        }

    def _fingerprints(self, cases: Iterable[str]) -> dict[str, str]:
        """Return the fingerprints on disk, by id; "" where there is none."""
        names = list(cases)
        with ThreadPoolExecutor(_READERS) as readers:
            records = readers.map(read_record, [inside(self._path, name) for name in names])
            found = [record.get("fingerprint", "") for record in records]
        return dict(zip(names, found, strict=True))

    def _drop_case(self, case: str) -> None:
        remove_folder(inside(self._path, case), RECORD)

    def _stored(self, case: str, fingerprint: str) -> Lazy[Any]:
        folder = inside(self._path, case)
        return Lazy(partial(self._read, folder), fingerprint, partial(read_record, folder))

    def _exists(self) -> bool:
        if not (self._path / _COMPLETE).exists() or self.failures():
            return False
        return self._group is None or any(c.startswith(f"{self._group}/") for c in self._ids())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "content": self._content, "shard": self._shard}


def _make_case(case: str, promise: Lazy[Any]) -> Any:
    """Make one case, and add the fingerprint to its record."""
    made = promise.make()
    return replace(made, record={**made.record, "fingerprint": promise.fingerprint})


def _write_case(folder: Location, content: str, case: str, made: Any) -> None:
    _, write = _CONTENTS[content]
    write(made, inside(folder, case))

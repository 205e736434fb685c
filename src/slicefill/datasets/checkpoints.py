"""Training states and models on disk: tensors and plain values, never pickled classes."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from slicefill.datasets.promises import FAILED, inside, make_each, read_failures
from slicefill.io.checkpoints import StateFile, read_checkpoint
from slicefill.io.storage import Location, location
from slicefill.params import SERIAL
from slicefill.training.ranks import machine_rank
from slicefill.types import Checkpoint, ModelPromise

logger = logging.getLogger(__name__)
_SUFFIX = ".pt"
_STATES = "last"  # folder of training states among the models


@dataclass(frozen=True)
class StateFiles:
    """A state file per training, `<name>.pt` in one folder; the files need not exist."""

    folder: Location

    def __getitem__(self, name: str) -> StateFile:
        """Return the state file of a training; its name may contain slashes."""
        return StateFile(_file(self.folder, name))


class StatesDataset(AbstractDataset[NoReturn, StateFiles]):
    """The files in which training loops keep their state between epochs."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = location(path)
        self.metadata = metadata

    def load(self) -> StateFiles:
        """Return the state files; the folder need not exist."""
        return StateFiles(self._path)

    def save(self, data: NoReturn) -> None:
        """Refuse: training loops save through the state files."""
        msg = f"{self._path}: this dataset is an input only; save through its state files"
        raise DatasetError(msg)

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class ModelsDataset(
    AbstractDataset[Mapping[str, ModelPromise], dict[str, Callable[[], Checkpoint]]]
):
    """Trained models, `<name>.pt` in one folder; its folder `last`, which holds states, is ignored.

    Saving takes promises: models are trained and written one after the other. A model on disk with
    the promise's fingerprint is skipped; any other is trained again. A training that fails is
    listed in `_failed.json` and the others go on. Loads to a reader per model found; finding none
    is no error, because classical methods need none.

    Example:
        ```yaml
        models:
          type: slicefill.datasets.checkpoints.ModelsDataset
          path: data/06_models/sample/S_x4
          variant: slice_imputation
        ```
    """

    def __init__(
        self,
        *,
        path: str,
        variant: str | None = None,
        nested: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Point to a folder.

        Args:
            path: Folder that holds the models.
            variant: The model without which the set does not exist, so that
                `--only-missing-outputs` trains a variant that is missing. Without a variant the
                set never exists: only promises say what is wanted; models on disk are kept.
            nested: Names may hold slashes, and models in sub-folders belong to the set.
            metadata: For plugins; not used here.
        """
        self._path = location(path)
        self._variant = variant
        self._nested = nested
        self.made = 0  # models that the last save trained; the others were there
        self.metadata = metadata

    def load(self) -> dict[str, Callable[[], Checkpoint]]:
        """Return a reader per model, by name."""
        return {name: partial(read_checkpoint, file) for name, file in self._files().items()}

    def save(self, data: Mapping[str, ModelPromise]) -> None:
        """Train and write what is not there yet; models of other names stay."""
        self.made = 0
        if not data:
            return
        for name in data:
            if not self._owns(name):
                msg = (
                    f"{self._path}: cannot save a model as {name!r}: a name with a slash needs "
                    f"`nested: true` in the catalog, and the folder {_STATES} holds states only"
                )
                raise DatasetError(msg)
        if machine_rank() > 0:
            self._take_part(data)
        else:
            make_each(data, self._save_model, self._drop_model, self._path / FAILED, SERIAL)

    def failures(self) -> dict[str, str]:
        """Return the models that failed when last saved, with the reason."""
        return read_failures(self._path / FAILED)

    def _owns(self, name: str) -> bool:
        first, *rest = name.split("/")
        return not rest or (self._nested and first != _STATES)

    def _files(self) -> dict[str, Location]:
        found = {
            path.relative_to(self._path).as_posix().removesuffix(_SUFFIX): path
            for path in sorted(self._path.rglob(f"*{_SUFFIX}"))
        }
        hidden = {name for name in found if "/." in f"/{name}"}
        return {name: found[name] for name in found if name not in hidden and self._owns(name)}

    def _take_part(self, data: Mapping[str, ModelPromise]) -> None:
        """Train along with machine 0, which alone writes; after a failure go on as it does."""
        for name, promise in data.items():
            try:
                if not self._holds(name, promise):
                    promise.make()
            except Exception:
                logger.exception("%s: model %s failed", self._path, name)

    def _holds(self, name: str, promise: ModelPromise) -> bool:
        stored = StateFile(_file(self._path, name)).load()
        return stored is not None and stored.get("fingerprint") == promise.fingerprint

    def _save_model(self, name: str, promise: ModelPromise) -> None:
        if self._holds(name, promise):
            logger.info("%s: the model on disk has the same data and parameters; it is kept", name)
            return
        made = {**promise.make(), "fingerprint": promise.fingerprint}
        StateFile(_file(self._path, name)).save(made)
        self.made += 1

    def _drop_model(self, name: str) -> None:
        _file(self._path, name).unlink(missing_ok=True)

    def _exists(self) -> bool:
        return self._variant in self._files() and self._variant not in self.failures()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "variant": self._variant, "nested": self._nested}


class ReleaseDataset(AbstractDataset[Checkpoint, Checkpoint]):
    """`weights.safetensors` and `model.json` in a folder; copy both into `methods/pretrained`.

    Args:
        path: The folder, on a disk or in an object store.
        metadata: For plugins.
    """

    def __init__(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = location(path)
        self.metadata = metadata

    def load(self) -> Checkpoint:
        """Read both files."""
        from slicefill.imputation.methods.pretrained import read_pretrained

        return read_pretrained(self._path)

    def save(self, data: Checkpoint) -> None:
        """Write both files, at most 10 MB of weights."""
        from slicefill.imputation.methods.pretrained import write_pretrained

        write_pretrained(data, self._path)

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}

    def _exists(self) -> bool:
        return (self._path / "model.json").is_file()


def _file(folder: Location, name: str) -> Location:
    path = inside(folder, name)
    return path.with_name(path.name + _SUFFIX)

"""Raw scans: a folder that the user names, or the embedded sample."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from slicefill.io.storage import Location, location


class RawFolder(AbstractDataset[NoReturn, Location]):
    """A folder of raw scans; loads to its path if it exists."""

    virtual = False  # whether nobody was scanned

    def __init__(self, *, path: str | None, metadata: dict[str, Any] | None = None) -> None:
        self._path = path
        self.metadata = metadata

    def load(self) -> Location:
        """Return the folder.

        Raises:
            DatasetError: If there is none; says how to set it.
        """
        if not self._path or not location(self._path).is_dir():
            msg = (
                f"raw scans: expected a folder, got {self._path!r}; set the environment variable "
                "SLICEFILL_RAW to the folder of the data set (docs/datasets.md says how it is laid "
                "out), or `raw` in conf/<experiment>/globals.yml"
            )
            raise DatasetError(msg)
        return location(self._path)

    def save(self, data: NoReturn) -> None:
        """Refuse: raw data is never written."""
        msg = f"{self._path}: raw data is read only"
        raise DatasetError(msg)

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}


class VirtualSubjects(RawFolder):
    """The embedded sample: subjects simulated from the MNI152 average when it is first loaded.

    Laid out as a plain folder (`images/`, `labels/`); subjects on disk are kept.
    """

    virtual = True

    def __init__(
        self,
        *,
        path: str,
        subjects: int,
        seed: int,
        crop: list[int] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Point to a folder.

        Args:
            path: Where the subjects are, or will be.
            subjects: How many.
            seed: Of the first; each further one has the next.
            crop: Size of a subject, three numbers of voxels; null: that of `virtual_subject`.
            metadata: For plugins; not used here.
        """
        super().__init__(path=path, metadata=metadata)
        self._folder = location(path)
        self._subjects = subjects
        self._seed = seed
        self._crop = crop

    def load(self) -> Location:
        """Simulate what is missing and return the folder."""
        from slicefill.io.case_folder import write_volume
        from slicefill.simulation.virtual_subjects import virtual_subject

        options: Any = {} if self._crop is None else {"crop": self._crop}
        for number in range(self._subjects):
            name = f"virtual-{number + 1:02d}.nii.gz"
            files = [self._folder / kind / name for kind in ("images", "labels")]
            if all(file.exists() for file in files):
                continue
            case = virtual_subject(self._seed + number, **options)
            for file, volume in zip(files, (case.image, case.label), strict=True):
                if volume is not None:
                    write_volume(volume, file)
        return self._folder

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder), "subjects": self._subjects, "seed": self._seed}

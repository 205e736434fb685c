"""Where the outputs of a scan go: one file in, one file out; a folder in, a folder out."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slicefill.ingestion.checks import printable
from slicefill.ingestion.label_names import CONFIDENCE
from slicefill.ingestion.layouts import RawCase
from slicefill.ingestion.suffixes import suffix_of
from slicefill.io.scan_files import beside, check_suffix, written_suffix

FURTHER = ("mask", "confidence", "record", "dicom")
"""Outputs besides the image, and the label map where there is one, that may be asked for."""
ENDING = "_isotropic"
TABLE = "slicefill.csv"
"""The table of what was made, in a folder of outputs."""
REMEDY = "name another output, or --overwrite"
"""How a refusal ends where the output of an earlier call stays, and its row with it."""
HIDDEN = ".slicefill"
"""In a folder of outputs: adapted weights, and the state of adapting."""


@dataclass(frozen=True)
class Task:
    """A scan and where what is made of it goes.

    Attributes:
        raw: Its files.
        outputs: Path by what it holds: `image`, perhaps `label`, and any of `FURTHER`; `dicom` is
            a folder, with `seg` beside it where there is a label map.
    """

    raw: RawCase
    outputs: Mapping[str, Path]

    @property
    def inputs(self) -> tuple[str, str]:
        """Image and label map ("" without one), as text that a table can hold."""
        return printable(str(self.raw.place)), printable(str(self.raw.label or ""))

    @property
    def record(self) -> Path:
        """Where the record is, if one is written."""
        return _name(self.outputs["image"], self.raw, ("record",))["record"]

    @property
    def others(self) -> list[Path]:
        """Files that an earlier call may have written of this scan, and this one does not."""
        all_of_them = _name(self.outputs["image"], self.raw, ("label", *FURTHER))
        inputs = {real(file) for file in _files(self.raw)}
        inputs |= {folder for file in inputs for folder in file.parents}
        return [
            path
            for what, path in all_of_them.items()
            if what not in self.outputs and real(path) not in inputs
        ]


@dataclass(frozen=True)
class Plan:
    """All scans of one call.

    Attributes:
        tasks: By case id.
        folder: Where the outputs and their table are; None for one file beside its input.
        source: What was asked to be imputed.
        of_source_alone: Whether the folder is named after the source: no other fills it.
        refused: Why scans were refused before they were read, by case id.
    """

    tasks: Mapping[str, Task]
    folder: Path | None
    source: Path | None = None
    of_source_alone: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """Where a reader looks: the folder, or the one image."""
        return self.folder or next(iter(self.tasks.values())).outputs["image"]


def real(path: Path) -> Path:
    """Return a path without links; unlike `Path.resolve`, of a link that leads to itself, too."""
    return Path(os.path.realpath(path))


def make_plan(
    source: Path, out: Path | None, cases: Sequence[RawCase], further: Collection[str]
) -> Plan:
    """Name the outputs of every scan.

    Args:
        source: What was asked to be imputed: a file, or a folder.
        out: A file for one scan, or a folder; None: beside the source.
        cases: The scans found there.
        further: Which of `FURTHER` are written.

    Raises:
        ValueError: If many scans would go into one file, its format is not written, or an output
            would replace an input.
    """
    if "dicom" in further and not any(isinstance(raw.image, tuple) for raw in cases):
        msg = f"--dicom: expected a DICOM series, found none in {source}; leave the option out"
        raise ValueError(msg)
    images = name_outputs(source, out, cases, ENDING)
    tasks = {raw.id: Task(raw, _name(images[raw.id], raw, further)) for raw in cases}
    _refuse_inputs(cases, [path for task in tasks.values() for path in task.outputs.values()])
    many = (out is not None and not _names_a_file(out)) or _is_folder(source, cases)
    folder = next(iter(images.values())).parent if many and images else None
    return Plan(tasks, folder, source, of_source_alone=folder is not None and out is None)


def name_outputs(
    source: Path, out: Path | None, cases: Sequence[RawCase], ending: str
) -> dict[str, Path]:
    """Name one output of every scan, by case id.

    Args:
        source: As for `make_plan`.
        out: As for `make_plan`.
        cases: The scans found there.
        ending: Between the name of a scan and its suffix.

    Raises:
        ValueError: As `make_plan`.
    """
    source = source.resolve() if source.name in ("", "..") else source  # `.` gets a name
    one_file = out is not None and not out.is_dir() and not _is_folder(source, cases)
    if out is not None and (_names_a_file(out) or (one_file and out.suffix[1:].isalpha())):
        check_suffix(out)
        if len(cases) != 1:
            msg = f"{out}: expected a folder for the outputs of {len(cases)} scans, got a file"
            raise ValueError(msg)
        names = {cases[0].id: out}
    else:
        folder = out
        if folder is None and _is_folder(source, cases):
            folder = source.parent / f"{source.name}{ending}"
        place = source.parent if folder is None else folder
        names = {
            raw.id: place / f"{raw.id}{ending}{written_suffix(_own_name(raw))}" for raw in cases
        }
    _refuse_inputs(cases, names.values())
    return names


def _is_folder(source: Path, cases: Sequence[RawCase]) -> bool:
    """Whether the source stands for many scans, even if it holds one."""
    return not (len(cases) == 1 and (source.is_file() or isinstance(cases[0].image, tuple)))


def _own_name(raw: RawCase) -> str:
    return "series" if isinstance(raw.image, tuple) else raw.image.name


def _names_a_file(out: Path) -> bool:
    return not out.is_dir() and (out.exists() or bool(suffix_of(out)))


def _name(image: Path, raw: RawCase, further: Collection[str]) -> dict[str, Path]:
    """Name the outputs beside an image."""
    suffix = written_suffix(image.name)
    outputs = {"image": image}
    if raw.label is not None or "label" in further:
        outputs["label"] = beside(image, f"_label{suffix}")
    endings = {
        "mask": f"_mask{suffix}",
        "confidence": f"{CONFIDENCE}.nii.gz",
        "record": ".json",
        "dicom": "_dicom",
    }
    for name in FURTHER:
        if name in further and (name != "dicom" or isinstance(raw.image, tuple)):
            outputs[name] = beside(image, endings[name])
    if "dicom" in outputs and "label" in outputs:
        outputs["seg"] = beside(image, "_seg.dcm")
    return outputs


def _refuse_inputs(cases: Sequence[RawCase], outputs: Iterable[Path]) -> None:
    inputs = {real(file) for raw in cases for file in _files(raw)}
    for path in outputs:
        if real(path) in inputs:
            msg = f"{path}: expected another name than that of the input; nothing was written"
            raise ValueError(msg)


def _files(raw: RawCase) -> Iterator[Path]:
    yield from raw.image if isinstance(raw.image, tuple) else (raw.image,)
    if raw.label is not None:
        yield raw.label

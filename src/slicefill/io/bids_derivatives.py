"""A BIDS derivative data set of imputed scans: names, sidecars, provenance."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicefill import __version__
from slicefill.ingestion.layouts.bids import IMPUTED
from slicefill.io.case_folder import write_volume
from slicefill.io.storage import replace_file
from slicefill.types import Case

_BIDS_VERSION = "1.11.0"
_SOURCE = "raw"  # what BIDS URIs call the data set that was imputed
_OURS = "Slicefill"
_DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Derivative:
    """Where the outputs of one scan of a BIDS data set lie.

    Attributes:
        image: The scan, `<bids>/sub-…/[ses-…/]anat/….nii[.gz]`.
        label: Its label map inside `bids`, if there is one.
        bids: The data set.
        out: The derivative data set.
    """

    image: Path
    label: Path | None
    bids: Path
    out: Path

    @property
    def image_path(self) -> Path:
        """The imputed scan: `sub-01/anat/sub-01_desc-imputed_T2w.nii.gz`."""
        return self._named(_split(self.image)[1])

    @property
    def label_path(self) -> Path:
        """The imputed label map: `sub-01/anat/sub-01_desc-imputed_dseg.nii.gz`."""
        return self._named("dseg")

    def _named(self, suffix: str) -> Path:
        folder = self.out / self.image.parent.relative_to(self.bids)
        return folder / f"{_split(self.image)[0]}{IMPUTED}{suffix}.nii.gz"

    def uri(self, path: Path) -> str:
        """Name a file of the source data set as a BIDS URI."""
        return f"bids:{_SOURCE}:{path.relative_to(self.bids).as_posix()}"


def written_fingerprint(derivative: Derivative) -> str | None:
    """Return the fingerprint of what is written already; None where something is missing."""
    volumes = [derivative.image_path, *([derivative.label_path] if derivative.label else [])]
    if not all(path.exists() for path in volumes):
        return None
    made: str | None = _read_json(sidecar(derivative.image_path)).get(_OURS, {}).get("Fingerprint")
    return made


def other_source(derivative: Derivative) -> str | None:
    """Return the scan whose label map is where that of this one would go; None if there is none."""
    if derivative.label is None or not derivative.label_path.exists():
        return None
    sources = _read_json(sidecar(derivative.label_path)).get("Sources", [])
    return None if not sources or derivative.uri(derivative.image) in sources else sources[-1]


def write_derivative(derivative: Derivative, imputed: Case, fingerprint: str) -> None:
    """Write an imputed scan and its label map, each with a sidecar.

    The sidecar of the image comes last: without it the scan counts as not imputed. A label map of
    an earlier run is removed if the scan has none any more.
    """
    target, label_target = derivative.image_path, derivative.label_path
    sidecar(target).unlink(missing_ok=True)
    sources = [derivative.uri(derivative.image)]
    if imputed.label is not None and derivative.label is not None:
        described: dict[str, Any] = {
            "Description": "Label map on the grid of the imputed scan",
            "Sources": [derivative.uri(derivative.label), *sources],
        }
        write_volume(imputed.label, label_target)
        _write_json(sidecar(label_target), described)
    elif sources[0] in _read_json(sidecar(label_target)).get("Sources", []):
        label_target.unlink(missing_ok=True)
        sidecar(label_target).unlink(missing_ok=True)
    write_volume(imputed.image, target)
    stripped = bool(_read_json(sidecar(derivative.image)).get("SkullStripped", False))
    described = {"SkullStripped": stripped, **_describe(imputed, sources, fingerprint)}
    _write_json(sidecar(target), described)


def write_description(bids: Path, out: Path) -> None:
    """Write dataset_description.json, which says what the data set is and what it came from.

    Raises:
        FileExistsError: If `out` is another data set.
    """
    there = _read_json(out / _DESCRIPTION)
    makers = [maker.get("Name") for maker in there.get("GeneratedBy", [])]
    if there and _OURS not in makers:
        msg = f"{out}: expected an empty folder or one that {_OURS} made, found the data set "
        msg += f"{there.get('Name', 'without a name')!r}; choose another folder"
        raise FileExistsError(msg)
    source, way = _read_json(bids / _DESCRIPTION), os.path.relpath(bids, out)
    doi = {"DOI": source["DatasetDOI"]} if "DatasetDOI" in source else {}
    described = {
        "Name": f"{source.get('Name', bids.resolve().name)}: slices imputed",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": _OURS, "Version": __version__}],
        "SourceDatasets": [{"URL": Path(way).as_posix(), **doi}],
        "DatasetLinks": {_SOURCE: Path(way).as_posix()},
    }
    if "License" in source:
        described["License"] = source["License"]
    _write_json(out / _DESCRIPTION, described)


def sidecar(path: Path) -> Path:
    """Return the JSON file beside a NIfTI file."""
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _describe(imputed: Case, sources: Sequence[str], fingerprint: str) -> dict[str, Any]:
    record = imputed.record
    return {
        "Description": "Scan with synthetic slices between its acquired slices",
        "Sources": list(sources),
        "SpacingBetweenSlices": round(float(record["slice_spacing_mm"]), 6),
        _OURS: {
            "Fingerprint": fingerprint,
            "Version": __version__,
            "Method": record["method"],
            "Weights": record["weights"],
            "WeightsSHA256": record["model_sha256"],
            "PlanesSHA256": record["planes_sha256"],
            "SyntheticSlicesPerInterval": record["count"],
            "ThroughPlaneAxis": record["axis"],
            "AcquiredSlices": record["acquired_slices"],
            "Choice": record["choice"],
        },
    }


def _split(image: Path) -> tuple[str, str]:
    """Split the name of a scan into its entities, without desc, and its suffix.

    Example:
        >>> _split(Path("sub-1_run-2_desc-x_T2w.nii.gz"))
        ('sub-1_run-2', 'T2w')
    """
    *entities, suffix = image.name.removesuffix(".gz").removesuffix(".nii").split("_")
    return "_".join(part for part in entities if not part.startswith("desc-")), suffix


def _read_json(path: Path) -> dict[str, Any]:
    """Read an object; what cannot be read counts as empty."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    replace_file(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

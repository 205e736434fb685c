"""`slicefill fuse`: several thick views of one subject in, one isotropic scan out."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicefill.command_line.wording import (
    UsageError,
    existing,
    named,
    positive,
    quiet_or_verbose,
    set_up_logging,
    whole,
)
from slicefill.execution import CASES_LEFT_OUT

if TYPE_CHECKING:
    from slicefill.types import Case

_DESCRIPTION = """\
Fuse thick views of one subject, taken in different directions, into one isotropic label map or
image. The first view is the reference: the others are registered to it, and its acquired slices
stay as they are, to the bit, with their labels.

VIEW is a scan (a file, a DICOM folder or a zip), or its label map. OUT is the fused label map where
views come with label maps (--labels, or in their folder or zip) or are label maps; else it is the
fused image.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some views were left out (each is named)

examples:
  slicefill fuse ax_seg.nii.gz sag_seg.nii.gz cor_seg.nii.gz --out mask.nii.gz
  slicefill fuse ax.nii.gz sag.nii.gz cor.nii.gz --out iso.nii.gz
  slicefill fuse ax.nii.gz sag.nii.gz --labels ax_seg.nii.gz sag_seg.nii.gz --out mask.nii.gz
  slicefill fuse t1_ax.nii.gz t2_sag.nii.gz --metric mutual_information --out iso.nii.gz
"""


def add_fuse(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    fuse = commands.add_parser(
        "fuse",
        help="make one isotropic scan of several thick views of one subject",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fuse.add_argument("views", metavar="VIEW", nargs="+", type=existing, help="the reference first")
    fuse.add_argument("--out", type=named, required=True, help="the label map, or the image")
    fuse.add_argument(
        "--labels", metavar="FILE", nargs="+", help="of the views in turn; - for none"
    )
    fuse.add_argument("--image", type=named, metavar="FILE", help="write the fused image as well")
    _add_ways(fuse)
    fuse.add_argument(
        "--confidence", action="store_true", help="write it, and how many views cover each voxel"
    )
    fuse.add_argument("--record", action="store_true", help="write how it came about")
    fuse.add_argument("--overwrite", action="store_true", help="replace outputs")
    quiet_or_verbose(fuse)
    fuse.set_defaults(run=partial(_run, fuse))


def _add_ways(fuse: argparse.ArgumentParser) -> None:
    """Add how views are registered, imputed and fused."""
    fuse.add_argument(
        "--given", choices=("auto", "images", "masks"), default="auto",
        help="what views are; auto: masks if none has a label map and all look like one",
    )  # fmt: skip
    fuse.add_argument(
        "--registration", choices=("rigid", "rigid_once", "header"), default="rigid",
        help="rigid: from many starts (default); header: views lie as their headers say",
    )  # fmt: skip
    fuse.add_argument(
        "--metric", choices=("correlation", "mutual_information"), default="correlation",
        help="of registration; mutual_information for views of different contrasts",
    )  # fmt: skip
    fuse.add_argument(
        "--region", choices=("image", "label"), default="image",
        help="what is registered; label: what moves apart from its surroundings",
    )  # fmt: skip
    fuse.add_argument(
        "--starts", type=float, nargs="+", metavar="DEGREES",
        help="of rigid: every triple of them is a start; 0: headers and centres alone",
    )  # fmt: skip
    fuse.add_argument(
        "--rule", choices=("gaussian", "vote", "nearest", "staple"), default="gaussian",
        help="how labels are fused; default: the nearer an acquired slice, the more it counts",
    )  # fmt: skip
    fuse.add_argument(
        "--field", choices=("reference", "union"), default="reference",
        help="what the result covers: the field of the first view (default), or that of any view",
    )  # fmt: skip
    fuse.add_argument("--sigma", type=positive, metavar="SHARE", help="of a slice distance")
    fuse.add_argument("--method", help="imputes the views; default pretrained, of masks nearest")
    grid = fuse.add_mutually_exclusive_group()
    grid.add_argument("--spacing", type=positive, metavar="MM", help="of slices wanted")
    grid.add_argument("--count", type=whole, metavar="N", help="slices per interval")
    fuse.add_argument("--device", choices=("auto", "cpu", "gpu", "mps"), default="auto")


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from slicefill.batch.fuse import fuse_files
    from slicefill.ingestion.checks import BadCase

    set_up_logging(arguments)
    try:
        fused = fuse_files(
            arguments.views,
            _labels(arguments),
            _outputs(arguments),
            overwrite=arguments.overwrite,
            **_ways(arguments),
        )
    except (UsageError, BadCase, ValueError, OSError) as error:
        parser.error(str(error))
    return _conclude(arguments, fused)


def _labels(arguments: argparse.Namespace) -> list[Path | None] | None:
    if arguments.labels is None:
        return None
    if len(arguments.labels) != len(arguments.views):
        msg = (
            f"--labels: expected one for each of {len(arguments.views)} views, - where there is "
            f"none, got {len(arguments.labels)}"
        )
        raise UsageError(msg)
    return [None if text == "-" else _existing_label(text) for text in arguments.labels]


def _existing_label(text: str) -> Path:
    """Return the path of a label map that exists.

    Raises:
        UsageError: If there is none.
    """
    try:
        return existing(text)
    except argparse.ArgumentTypeError as error:
        msg = f"--labels: {error}"
        raise UsageError(msg) from error


def _outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """Paths by what they hold: `out`, `image`, `confidence`, `views`, `record`."""
    from slicefill.ingestion.label_names import CONFIDENCE
    from slicefill.io.scan_files import beside

    out: Path = arguments.out
    outputs = {"out": out}
    if arguments.image:
        outputs["image"] = arguments.image
    if arguments.confidence:
        outputs["confidence"] = beside(out, f"{CONFIDENCE}.nii.gz")
        outputs["views"] = beside(out, "_views.nii.gz")
    if arguments.record:
        outputs["record"] = beside(out, ".json")
    return outputs


def _ways(arguments: argparse.Namespace) -> dict[str, Any]:
    registration: dict[str, Any] = {"kind": arguments.registration}
    asked = {"metric": arguments.metric, "region": arguments.region}
    if arguments.registration == "rigid":
        registration |= asked | ({"starts": arguments.starts} if arguments.starts else {})
    elif asked != {"metric": "correlation", "region": "image"} or arguments.starts:
        msg = "--metric, --region, --starts: expected --registration rigid beside them"
        raise UsageError(msg)
    rule: dict[str, Any] = {"kind": arguments.rule}
    if arguments.sigma is not None:
        if arguments.rule != "gaussian":
            msg = f"--sigma: expected --rule gaussian beside it, got {arguments.rule}"
            raise UsageError(msg)
        rule["sigma"] = arguments.sigma
    names = ("method", "spacing", "count", "device", "given", "field")
    chosen = {name: getattr(arguments, name) for name in names}
    return {"registration": registration, "rule": rule, **chosen}


def _conclude(arguments: argparse.Namespace, fused: "Case") -> int:
    """Name the views that were left out, and say what was made of which."""
    told = fused.record["fusion"]
    for name, reason in told["left_out"].items():
        print(f"{name}: left out: {reason}", file=sys.stderr)
    if not arguments.quiet:
        for name, found in told["alignments"].items():
            print(f"{name}: similarity {found['similarity']:.2f}, overlap {found['overlap']:.0%}")
        what = "label map" if "labels" in told else "image"
        used = told.get("labels") or told["images"]
        alone = ""
        if "labels" in told:
            alone = f"; a single view decides {told['labels']['decided_by_one']:.0%} of it"
        lacks = {"label map": "no label map", "image": "another contrast, or channels"}[what]
        for name in told["views"]:
            if name not in used["fused"]:
                print(f"{name}: {lacks}; not part of the fused one")
        print(f"{what} of {len(used['fused'])} view(s) → {arguments.out}{alone}")
    return CASES_LEFT_OUT if told["left_out"] else 0

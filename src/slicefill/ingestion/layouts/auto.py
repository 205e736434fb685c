"""Whatever it is: BIDS, the Decathlon's dataset.json, images/ and labels/, or a whole tree."""

import json
from pathlib import Path

from slicefill.ingestion.found import Found
from slicefill.ingestion.layouts import bids, msd, tree
from slicefill.ingestion.layouts import folder as plain
from slicefill.ingestion.suffixes import VOLUMES
from slicefill.params import IngestionParams

EXPECTED = f"DICOM series or files that end in {' '.join(VOLUMES)}, in folders of any kind"
_DATATYPES = ("anat", "ct")


def find(folder: Path, params: IngestionParams) -> Found:
    """Take the first layout that fits; one of which there is nothing does not fit."""
    found = Found()
    if (folder / "dataset_description.json").exists() or any(folder.glob("sub-*/")):
        found = bids.find_images(folder, None, _DATATYPES, params.affine_tolerance)
    elif _lists_training(folder / msd.INDEX):
        found = msd.find(folder, params)
    elif any((folder / place).is_dir() for place in plain.IMAGES):
        found = plain.find(folder, params)
    return found if found.cases or found.refused else tree.find(folder, params)


def _lists_training(index: Path) -> bool:
    """Whether dataset.json lists images; nnU-Net's of the same name does not."""
    try:
        return bool(json.loads(index.read_text())["training"][0]["image"])
    except (OSError, ValueError, LookupError, TypeError):
        return False

"""The code of docs/how-to/python.md and dicom.md runs, block after block, in one folder."""

import re

import pytest

import slicefill
from slicefill.geometry import step_map
from slicefill.io.scan_files import write_scan

from .conftest import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def folder(case, tmp_path, monkeypatch):
    """A dense scan, every second slice of it, and their label maps."""
    dense = case(shape=(24, 20, 9))
    for name, volume in {"scan": dense.image, "label": dense.label}.items():
        thick = volume.with_stored(volume.stored[..., ::4], step_map(2, 4))
        write_scan(thick, tmp_path / f"{name}.nii.gz")
    write_scan(dense.image, tmp_path / "dense.nii.gz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_of_the_page_runs(folder):
    spacing = slicefill.read("dense.nii.gz").image.spacing[2]
    text = (ROOT / "docs" / "how-to" / "python.md").read_text("utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        # The page wants 1 mm; the dense scan of this test has slices at another distance.
        exec(block.replace("spacing=1.0", f"spacing={spacing}"), names)
    assert (folder / "scan_1mm_label.nii.gz").exists()
    assert names["scores"]["slices"] == 6
    assert tuple(names["dense"].shape[1:]) == (24, 20, 9)

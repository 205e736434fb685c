"""The shipped weights: two files that give back the checkpoint, and travel with the package."""

import json
import struct
import tomllib
from fnmatch import fnmatch
from importlib import resources

import numpy as np
import pytest
import torch

import slicefill
from slicefill.fingerprint import weights_fingerprint
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import learned_imputer
from slicefill.imputation.methods import pretrained
from slicefill.imputation.methods.pretrained import (
    load_pretrained,
    read_pretrained,
    write_pretrained,
)
from slicefill.imputation.methods.slice_imputation.critics import load_critics
from slicefill.imputation.methods.slice_imputation.model import load_model

from ..conftest import ROOT

SHIPPED = resources.files("slicefill.imputation.methods.pretrained")
FILES = ("weights.safetensors", "model.json", "MODEL_CARD.md")


@pytest.fixture
def folder(untrained, tmp_path):
    write_pretrained(untrained, tmp_path / "pretrained")
    return tmp_path / "pretrained"


def head(file):
    """The JSON at the head of a file of safetensors, after its length in 8 bytes."""
    (size,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + size])


def states(checkpoint):
    return {name: checkpoint[name] for name in ("weights", "critics")}


def test_every_tensor_comes_back_to_the_bit(folder, untrained):
    read = read_pretrained(folder)
    assert untrained["critics"]
    for name, state in states(untrained).items():
        assert read[name].keys() == state.keys()
        assert all(read[name][key].dtype == value.dtype for key, value in state.items())
    assert weights_fingerprint(read["weights"]) == weights_fingerprint(untrained["weights"])
    assert weights_fingerprint(read["critics"]) == weights_fingerprint(untrained["critics"])


def test_everything_else_comes_back_too(folder, untrained):
    read = read_pretrained(folder)
    assert read.keys() == untrained.keys()
    plain = set(untrained) - {"weights", "critics"}
    assert {name: read[name] for name in plain} == {name: untrained[name] for name in plain}


def test_what_comes_back_makes_the_networks(folder):
    read = read_pretrained(folder)
    assert load_model(read)
    assert load_critics(read)


def test_entries_that_are_added_later_travel_along(untrained, tmp_path):
    """A calibration, and a model without critics, as it is shipped."""
    added = {"confidence": {"knots": [0.0, 0.1, 1 / 3], "weights": {"cycle": 0.25}}, "critics": {}}
    write_pretrained({**untrained, **added}, tmp_path)
    read = read_pretrained(tmp_path)
    assert {name: read[name] for name in added} == added


def test_what_no_file_can_hold_is_refused_before_anything_is_written(untrained, tmp_path):
    with pytest.raises(TypeError, match="Tensor is not JSON"):
        write_pretrained({**untrained, "confidence": [torch.zeros(1)]}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_description_is_for_people(folder):
    text = (folder / "model.json").read_text()
    assert json.loads(text)["validation"] == {"psnr": 30.0, "ssim": 0.9}
    assert max(map(len, text.splitlines())) < 200


def test_the_file_of_weights_says_what_it_is(folder):
    told = head((folder / "weights.safetensors").read_bytes())["__metadata__"]
    assert set(told) == {"what", "version", "when", "licence"}
    assert (
        told["licence"]
        == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    )


def test_weights_that_are_too_large_to_ship_are_refused(untrained, tmp_path):
    large = {**untrained, "critics": {"layer": torch.zeros(2_500_000)}}  # 10 MB of float32
    with pytest.raises(ValueError, match=r"at most 10 MB, got 10\.\d MB; train a smaller network"):
        write_pretrained(large, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_was_not_installed_is_said(folder, monkeypatch):
    (folder / "model.json").unlink()
    monkeypatch.setattr(pretrained.resources, "files", lambda _: folder)
    with pytest.raises(FileNotFoundError, match=r"found no model\.json; install the package again"):
        load_pretrained()


def test_the_wheel_takes_the_files_along():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = setuptools["package-data"]["slicefill"]
    found = [one.name for one in SHIPPED.iterdir() if one.is_file() and one.suffix != ".py"]
    left = [
        name
        for name in found
        if not any(
            fnmatch(f"imputation/methods/pretrained/{name}", pattern) for pattern in patterns
        )
    ]
    assert not left


def test_the_shipped_files_are_there_and_small_enough():
    assert all(SHIPPED.joinpath(name).is_file() for name in FILES)
    assert len(SHIPPED.joinpath(FILES[0]).read_bytes()) <= pretrained.MOST_BYTES


def test_the_shipped_weights_impute_any_scan(case, imputation_params):
    """Turned in space, four slices of random numbers, another dtype."""
    params = imputation_params(through_plane="auto", count=3)
    imputer = learned_imputer("pretrained", load_pretrained(), params)
    source = case("<f4")
    imputed = impute_case(source, imputer, params)
    assert imputed.image.stored[..., ::4].tobytes() == source.image.stored.tobytes()
    assert imputed.record["weights"] == "pretrained"
    assert imputed.record["model_version"]
    assert len(imputed.record["model_sha256"]) == 64


@pytest.mark.parametrize("size", [(1, 12), (12, 1), (1, 1)])
def test_slices_of_one_row_or_column_are_imputed(size):
    thick = np.random.default_rng(0).integers(0, 900, (*size, 7)).astype(np.int16)
    made = slicefill.impute(thick, (thick > 400).astype(np.uint8), voxel_spacing=(1, 1, 4))
    assert made.shape == (*size, 25)
    assert np.array_equal(made[..., ::4], thick)

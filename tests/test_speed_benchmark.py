"""The benchmark of speed against quality: its measures, and the methods of other libraries."""

import ast
import json
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from slicefill.types import Case

from .conftest import ROOT

FACTOR = 4


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture
def truth():
    from made_case import Scan, make_truth

    return make_truth(Scan((32, 32, 5), FACTOR))


@pytest.fixture
def params(imputation_params):
    return imputation_params(methods=["linear"], count=FACTOR - 1, through_plane="S")


def stacked(volume, slices, dtype="i2"):
    """Slices last, in a plain world."""
    return volume(np.stack(slices, axis=-1).astype(dtype), np.diag([1.0, 1.0, FACTOR, 1.0]))


def bump(column, size=40, width=5):
    rows, columns = np.indices((size, size))
    return 1000 * np.exp(-((rows - size / 2) ** 2 + (columns - column) ** 2) / (2 * width**2))


def test_what_benchmarks_import_is_there():
    missing = []
    for file in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slicefill"):
                module = import_module(node.module)
                names = [each.name for each in node.names if not hasattr(module, each.name)]
                missing += [
                    f"{file.name}: {node.module}.{name}"
                    for name in names
                    if find_spec(f"{node.module}.{name}") is None
                ]
    assert missing == []


def test_the_thin_case_is_what_a_coarser_scan_would_show(truth):
    from made_case import thin

    acquired_case = thin(truth, FACTOR)
    assert acquired_case.image.stored.shape == (32, 32, 5)
    np.testing.assert_array_equal(acquired_case.image.stored, truth.image.stored[..., ::FACTOR])
    np.testing.assert_array_equal(acquired_case.label.stored, truth.label.stored[..., ::FACTOR])
    assert acquired_case.image.spacing.tolist() == [1, 1, FACTOR]


def test_scores_are_of_synthetic_slices_in_the_body(truth):
    from made_case import score

    body = truth.maps["body"].stored > 0
    synthetic = np.arange(truth.image.stored.shape[2]) % FACTOR != 0
    for counted, expected in ((body & synthetic, 20.0), (~body | ~synthetic, float("inf"))):
        off = truth.image.with_stored(truth.image.stored + (100 * counted).astype("i2"))
        scores = score(Case(off, truth.label), truth, FACTOR)  # a tenth of the range: 20 dB
        assert scores == {"psnr": pytest.approx(expected), "dice": 1.0}


def test_every_way_without_a_network_imputes_the_place_of_the_truth(truth, params):
    from made_case import thin
    from ways import list_ways

    acquired_case = thin(truth, FACTOR)
    for way in list_ways():
        if way.family == "slicefill, network":
            continue
        imputed = way.prepare(params, None)(acquired_case)
        assert imputed.image.stored.shape == truth.image.stored.shape, way.title
        assert imputed.image.stored.dtype == np.int16
        np.testing.assert_allclose(imputed.image.affine, truth.image.affine, atol=1e-6)
        np.testing.assert_array_equal(
            imputed.image.stored[..., ::FACTOR], acquired_case.image.stored
        )
        np.testing.assert_array_equal(
            imputed.label.stored[..., ::FACTOR], acquired_case.label.stored
        )


def test_linear_resampling_is_linear(volume):
    from with_itk import IMPUTES

    image = stacked(volume, [np.full((6, 5), value) for value in (0, 80, 40)])
    imputed = IMPUTES["SimpleITK linear"](Case(image, image), FACTOR)
    assert imputed.image.stored[3, 2].tolist() == [0, 20, 40, 60, 80, 70, 60, 50, 40]


def test_demons_move_a_bump_all_along_the_way(volume):
    from with_itk import demons

    slices = [bump(18), bump(22)]
    image, label = stacked(volume, slices), stacked(volume, [s > 300 for s in slices], "u1")
    imputed = demons(Case(image, label), FACTOR)
    off, blended = (
        np.abs(middle - bump(20)).mean()
        for middle in (imputed.image.stored[..., 2], np.mean(slices, axis=0))
    )
    assert off < blended / 4
    columns = [np.nonzero(imputed.label.stored[..., k])[1].mean() for k in range(FACTOR + 1)]
    assert columns == pytest.approx([18, 19, 20, 21, 22], abs=0.1)


def test_no_method_on_the_front_is_beaten_in_both():
    from front import draw_fronts, front

    points = {"slow": (9, 24.0), "worse": (4, 20.0), "fast": (1, 20.0), "good": (4, 23.0)}
    scores = {n: {"seconds": s, "psnr": q, "dice": -q} for n, (s, q) in points.items()}
    assert front(scores, "psnr") == ["fast", "good", "slow"]
    assert front(scores, "dice") == ["fast"]
    figure = draw_fronts({"one scan": scores}, dict.fromkeys(points, "slicefill, classical"))
    lines = [panel.lines[0].get_xydata().tolist() for panel in figure.axes]
    assert lines == [[[1, 20], [4, 23], [9, 24]], [[1, -20]]]


def test_the_table_relates_seconds_to_scipy_and_operations_to_the_peak():
    from speed import render
    from ways import Way

    ways = [
        Way("SciPy cubic", "other libraries", print),
        Way("net", "slicefill, network", print, "bf16"),
    ]
    both = {"peak_memory": 3 * 2**20, "psnr": 20.0, "dice": 0.5}
    results = {
        "SciPy cubic": {"seconds": 2.0, **both},
        "net": {"seconds": 5.0, "flop": 40e9, "network": 4.0, **both},
    }
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in render({"a scan": results}, {"bf16": 20e9}, ways).splitlines()
    ]
    assert ["a scan", "net", "5.00", "2.50", "3", "20.00", "0.500"] in lines
    assert ["a scan", "net", "4.00", "40", "10", "20", "50%"] in lines


def test_memory_is_that_of_the_process_alone():
    from apart import apart, peak_memory

    ballast = np.ones(2**26)  # 512 MiB
    assert peak_memory() > ballast.nbytes
    assert apart(peak_memory) < ballast.nbytes


@pytest.mark.slow
def test_one_command_measures_writes_and_draws(synthesis_params, tmp_path, monkeypatch, capsys):
    import speed
    import torch

    from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
    from slicefill.io.checkpoints import write_checkpoint

    torch.manual_seed(0)
    model = SynthesisModel(1, synthesis_params.network, synthesis_params.parts)
    params = synthesis_params.model_dump()
    checkpoint = {"weights": model.state_dict(), "params": params, "channels": 1}
    write_checkpoint(checkpoint, tmp_path / "model.pt")
    chosen = [way for way in speed.list_ways() if "cubic" in way.title or "CPU" in way.title]
    monkeypatch.setattr(speed, "list_ways", lambda: chosen)
    monkeypatch.setattr(speed, "SMALL", speed.SMALL[:1])
    files = {kind: tmp_path / f"speed.{kind}" for kind in ("json", "png")}
    options = {"repeats": 1, "threads": 1, "checkpoint": tmp_path / "model.pt"}
    options |= {"json": files["json"], "figure": files["png"]}
    speed.main(["--small", *(f"--{name}={value}" for name, value in options.items())])
    measured = json.loads(files["json"].read_text())
    (scores,) = measured["results"].values()
    assert list(scores) == [way.title for way in chosen]
    assert all(own["seconds"] > 0 and np.isfinite(own["psnr"]) for own in scores.values())
    assert scores["pretrained, CPU fp32"]["flop"] == scores["pretrained, CPU bf16"]["flop"] > 0
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "share of peak" in capsys.readouterr().out

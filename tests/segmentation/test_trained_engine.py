"""Networks that others trained predict as engines do; what is no network is refused."""

import sys
from textwrap import dedent

import numpy as np
import pytest
import torch

from slicefill.io.checkpoints import write_checkpoint
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.plugins import find_kind, find_system
from slicefill.segmentation import engines
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.networks import build_network
from slicefill.segmentation.prediction import make_predictor
from slicefill.segmentation.scans import make_scan

DATA = SegmentationData({}, {}, (0, 7))


class Brightness(torch.nn.Module):
    """Logits of two classes, (1, 2, D, H, W), by intensity."""

    def forward(self, volume):
        bright = volume[:, :1] - 0.5
        return torch.cat([-bright, bright], 1)


@pytest.fixture
def params(configuration):
    base = configuration("tiny")["parameters"]["segmentation"]
    return SegmentationParams(**{**base, "label_names": {0: "background", 7: "bright"}})


@pytest.fixture
def scan(case, configuration):
    base = configuration("tiny")["parameters"]["augmentation"]

    def make(**changes):
        rule = AugmentationParams(**{**base, "through_plane": "auto", **changes})
        return make_scan(case("i2", shape=(18, 16, 5)), None, None, rule)

    return make


@pytest.fixture
def predictor(params, configuration):
    base = configuration("tiny")["parameters"]["augmentation"]
    setting = Setting(params, AugmentationParams(**base), 0)

    def make(**entry):
        system = find_system(
            engines.FOLDER, "segmentation.engines.own", {"kind": "trained", **entry}
        )
        made = system.module.train(DATA, system.params, setting, None)
        mark = system.module.training_fingerprint(DATA, system.params, setting)
        return make_predictor(system.module, made, params), mark

    return make


def test_a_torchscript_file_predicts(predictor, scan, tmp_path):
    path = tmp_path / "network.ts"
    torch.jit.save(torch.jit.trace(Brightness(), torch.zeros(1, 1, 4, 8, 8)), path)
    own = scan()
    found = predictor(format="torchscript", path=str(path))[0](own)
    np.testing.assert_array_equal(found.argmax(0), own.image[:, 0] > 0.5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


def test_a_checkpoint_of_ours_predicts_as_its_engine(predictor, scan, params, tmp_path):
    torch.manual_seed(0)
    design = {
        "dims": 2, "channels": 1, "classes": 2, "width": 4, "dropout": 0.0, "patch": [32, 32],
    }  # fmt: skip
    made = {"engine": "unet2d", "design": design, "weights": build_network(design).state_dict()}
    write_checkpoint(made, tmp_path / "unet2d_0.pt")
    direct = make_predictor(find_kind(engines.FOLDER, "unet2d"), made, params)
    found, mark = predictor(format="slicefill", path=str(tmp_path / "unet2d_0.pt"))
    np.testing.assert_array_equal(found(scan()), direct(scan()))
    write_checkpoint({**made, "seed": 1}, tmp_path / "unet2d_0.pt")
    assert predictor(format="slicefill", path=str(tmp_path / "unet2d_0.pt"))[1] != mark


@pytest.fixture
def functions(tmp_path, monkeypatch):
    text = """
        import numpy as np

        def by_hounsfield(scan):
            inside = (scan.image[:, 0] > 100).astype(float)
            return np.stack([1 - inside, inside])

        def one_class(scan):
            return scan.image[None, :, 0]

        def scores(scan):
            return 3 * by_hounsfield(scan)

        def nothing_known(scan):
            return np.nan * by_hounsfield(scan)
    """
    (tmp_path / "own_networks.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_networks", None)


def test_a_function_sees_intensities_as_they_are_if_nothing_is_windowed(predictor, scan, functions):
    own = scan(window=None)
    assert own.image.max() > 100
    found = predictor(format="python", path="own_networks:by_hounsfield")[0](own)
    np.testing.assert_array_equal(found.argmax(0), own.image[:, 0] > 100)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("one_class", r"probabilities of 2 classes .*got \(1, 5, 18, 16\)"),
        ("scores", "sum to 1"),
        ("nothing_known", "sum to 1 over classes, got nan off"),
    ],
)
def test_what_is_not_class_probabilities_is_refused(predictor, scan, functions, function, reason):
    predict = predictor(format="python", path=f"own_networks:{function}")[0]
    with pytest.raises(ValueError, match=reason):
        predict(scan())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"format": "torchscript", "path": "nowhere.ts"}, "found no nowhere.ts"),
        ({"format": "python", "path": "json"}, "module:function"),
        ({"format": "onnx", "path": "."}, "got 'onnx'"),
    ],
)
def test_an_entry_that_names_no_network_is_refused_before_a_run(entry, reason):
    with pytest.raises(ValueError, match=reason):
        find_system(engines.FOLDER, "segmentation.engines.own", {"kind": "trained", **entry})


def test_a_folder_without_plans_is_no_result_of_nnunet(predictor, tmp_path):
    with pytest.raises(ValueError, match=r"plans\.json, dataset\.json is missing"):
        predictor(format="nnunetv2", path=str(tmp_path))


def test_a_function_that_is_not_there_is_refused(predictor, functions):
    with pytest.raises(ValueError, match="own_networks:nothing: expected module:function"):
        predictor(format="python", path="own_networks:nothing")


@pytest.mark.parametrize("module", ["nowhere", "nowhere.networks"])
def test_a_module_that_cannot_be_imported_is_named_with_its_cause(predictor, module):
    with pytest.raises(ValueError, match=f"{module}:f: .*can be imported, .*No module named"):
        predictor(format="python", path=f"{module}:f")

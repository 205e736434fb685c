"""Trained models in MLflow's registry, loaded and served as a stranger would."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import replace

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from slicefill import __version__, tracking
from slicefill.imputation.imputers import learned_imputer
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.params import SegmentationParams
from slicefill.segmentation.networks import build_network
from slicefill.serving import array_imputer
from slicefill.tracking import ModelFile, calls, channel, runs
from slicefill.tracking.registry import save_model

from .mlflow_server import free_port, serving

DESIGN = "ds-001_S_x4"  # as of a folder of this name


@pytest.fixture(scope="module")
def checkpoints(synthesis_params, configuration):
    """Networks with random weights, as a training leaves them."""
    torch.manual_seed(0)
    network = SynthesisModel(1, synthesis_params.network, synthesis_params.parts)
    params = SegmentationParams(**configuration("tiny")["parameters"]["segmentation"])
    sizes = {"width": 4, "dropout": 0.0, "patch": [32, 32]}
    design = {"dims": 2, "channels": 1, "classes": len(params.label_names), **sizes}
    return {
        "imputation": {
            "kind": "slice_imputation",
            "network": synthesis_params.network.model_dump(),
            "parts": synthesis_params.parts.model_dump(),
            "window": synthesis_params.window.model_dump(),
            "weights": network.state_dict(),
            "params": synthesis_params.model_dump(),
            "channels": 1,
        },
        "segmentation": {
            "engine": "unet2d",
            "design": design,
            "weights": build_network(design).state_dict(),
        },
    }


@pytest.fixture(scope="module")
def model(checkpoints, configuration):
    """A model to register, of a kind; slices lie along the last axis, 4 pixels apart."""
    parameters = configuration("tiny")["parameters"]
    config = {
        "imputation": {"imputation": {**parameters["imputation"], "hardware": {**CPU}}},
        "segmentation": {name: parameters[name] for name in ("augmentation", "segmentation")},
    }

    def make(kind, fingerprint="1"):
        read = lambda: checkpoints[kind]  # noqa: E731
        factor = 4 if kind == "imputation" else 1
        return ModelFile(DESIGN, kind, kind, read, fingerprint, config[kind], 2, factor)

    return make


CPU = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """Folders of saved models by kind."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("imputation", "segmentation"):
        save_model(model(kind), folder / kind)
    return folder


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(100, 30, (20, 24, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The address of a store that is set up once: that takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def client(store, tmp_path, monkeypatch):
    """A run is open."""
    for state in (runs._open, runs._children, runs._failed, calls._ids, channel._next_try):
        state.clear()
    monkeypatch.delenv("SLICEFILL_TRACKING", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.set_tracking_uri(store)
    tracking.start_run(tmp_path, "training", {"dataset": "tiny"})
    yield MlflowClient(store)
    tracking.end_run("FINISHED")


def versions(client, kind):
    return client.search_model_versions(f"name = '{DESIGN}-{kind}'")


def test_a_model_is_registered_once_and_again_when_it_changes(client, model):
    for fingerprint in ("1", "1", "2", "2"):
        tracking.register_model(model("imputation", fingerprint))
    found = sorted(versions(client, "imputation"), key=lambda one: int(one.version))
    assert [one.tags["fingerprint"] for one in found] == ["1", "2"]
    assert found[0].tags["dataset"] == "tiny"
    run = client.get_run(found[0].run_id)
    assert run.info.run_name == "training"
    assert len(run.outputs.model_outputs) == 2


def test_a_model_that_holds_the_shipped_weights_is_registered_under_their_name(
    client, checkpoints, model
):
    """As adaptation leaves it where the adapted weights are no better."""
    kept = replace(
        model("imputation"),
        method="adapted",
        read=lambda: {**checkpoints["imputation"], "kind": "pretrained"},
    )
    tracking.register_model(kept)
    assert not client.search_model_versions(f"name = '{DESIGN}-adapted'")
    assert len(client.search_model_versions(f"name = '{DESIGN}-pretrained'")) == 1


def test_registering_is_quick(client, model):
    tracking.register_model(model("segmentation", "warm up: imports"))
    start = time.process_time()
    tracking.register_model(model("segmentation", "timed"))
    assert time.process_time() - start < 2  # seconds


def test_the_newest_version_loads_by_name_and_imputes(client, model, volume):
    tracking.register_model(model("imputation", "3"))
    newest = max(int(one.version) for one in versions(client, "imputation"))
    loaded = mlflow.pyfunc.load_model(f"models:/{DESIGN}-imputation/{newest}")
    imputed = loaded.predict(volume)
    assert (imputed.shape, imputed.dtype) == ((20, 24, 17), np.float32)
    np.testing.assert_array_equal(imputed[..., ::4], volume)


def test_without_a_run_nothing_is_registered(model, monkeypatch, tmp_path):
    runs._open.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
    tracking.register_model(model("imputation"))
    assert not list(tmp_path.iterdir())


def test_the_served_model_is_the_one_of_the_pipeline(checkpoints, configuration, saved, volume):
    """The method on a stack of slices, against the loaded model on an array."""
    from slicefill.params import ImputationParams
    from slicefill.types import Stack

    config = {**configuration("tiny")["parameters"]["imputation"], "hardware": CPU}
    imputer = learned_imputer("x", checkpoints["imputation"], ImputationParams(**config))
    slices = np.ascontiguousarray(np.moveaxis(volume, 2, 0)[:, None])
    window = checkpoints["imputation"]["window"]
    seen = np.percentile(volume, [window["low"], window["high"]])[None]
    expected = imputer.method(Stack(slices, seen), [0.5], np.random.default_rng(0)).image[:, 0, 0]
    loaded = mlflow.pyfunc.load_model(str(saved / "imputation"))
    imputed = loaded.predict(volume, params={"axis": 2, "count": 1})
    np.testing.assert_allclose(np.moveaxis(imputed, 2, 0)[1::2], expected, rtol=1e-5)


def test_a_model_of_a_run_with_an_exact_spacing_answers(saved, configuration, volume):
    config = configuration("tiny")["parameters"]["imputation"]
    exact = {**config, "count": None, "target_spacing": 1.5, "exact": True}
    fill = array_imputer("x", saved / "imputation" / "artifacts" / "checkpoint.pt", exact)
    assert fill(volume, (1.0, 1.0, 4.0), 2, 3).shape == (*volume.shape[:2], 4 * volume.shape[2] - 3)
    spoiled = volume.copy()
    spoiled[3, 3, 1] = np.nan
    with pytest.raises(ValueError, match="expected finite voxels"):
        fill(spoiled, (1.0, 1.0, 4.0), 2, 3)


@pytest.mark.parametrize(
    ("params", "shape"),
    [
        ({"count": 2}, (20, 24, 13)),
        ({"axis": 0, "count": 1}, (39, 24, 5)),
        ({"axis": -1, "spacing": [1.0, 3.0, 1.0]}, (20, 70, 5)),  # eq. (20): 2 slices per interval
    ],
)
def test_axis_count_and_spacing_say_where_slices_go(saved, volume, params, shape):
    loaded = mlflow.pyfunc.load_model(str(saved / "imputation"))
    assert loaded.predict(volume, params=params).shape == shape


@pytest.mark.parametrize(
    ("shape", "params", "said"),
    [
        ((8, 8, 4), {"spacing": (1.0, 1.0, 1.0)}, "nothing to impute"),
        ((8, 8, 4), {"spacing": (1.0, 1.0)}, "three numbers above 0"),
        ((8, 8, 4), {"spacing": (1.0, 1.0, 4.0), "axis": 3}, "axis: expected 0, 1, 2"),
        ((8, 8), {"spacing": (1.0, 1.0, 4.0)}, "volume: expected an array"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_what_was_expected(
    saved, configuration, shape, params, said
):
    config = configuration("tiny")["parameters"]["imputation"]
    fill = array_imputer("x", saved / "imputation" / "artifacts" / "checkpoint.pt", config)
    with pytest.raises(ValueError, match=said):
        fill(np.random.default_rng(0).random(shape, np.float32), **params)


def test_a_segmentation_model_gives_a_label_map(saved, volume, checkpoints):
    loaded = mlflow.pyfunc.load_model(str(saved / "segmentation"))
    labels = loaded.predict(volume)
    assert (labels.shape, labels.dtype) == (volume.shape, np.uint8)
    assert set(np.unique(labels)) <= set({0, 1, 2, 3})
    turned = loaded.predict(np.moveaxis(volume, 2, 0), params={"axis": 0})
    np.testing.assert_array_equal(np.moveaxis(turned, 0, 2), labels)


@pytest.mark.parametrize("kind", ["imputation", "segmentation"])
def test_a_saved_model_is_code_and_a_checkpoint_without_pickled_classes(saved, kind):
    names = {path.name for path in (saved / kind).rglob("*")}
    assert {"served_model.py", "checkpoint.pt"} <= names
    assert not [name for name in names if name.endswith(".pkl")]
    torch.load(saved / kind / "artifacts" / "checkpoint.pt", weights_only=True)
    loaded = mlflow.pyfunc.load_model(str(saved / kind))
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, -1, -1)
    example = loaded.input_example
    assert np.asarray(example).shape == (16, 16, 3)
    requirements = (saved / kind / "requirements.txt").read_text()
    assert f"slicefill=={__version__}" in requirements


@pytest.mark.server
def test_a_served_model_answers_a_request_with_the_imputed_volume(saved, volume):
    model = ("models", "serve", "--model-uri", str(saved / "imputation"), "--env-manager", "local")
    with serving(*model, port=free_port(), health="/ping") as address:
        answer = ask(address, {"inputs": volume.tolist(), "params": {"axis": 2, "count": 3}})
        imputed = np.array(answer["predictions"], np.float32)
        assert imputed.shape == (20, 24, 17)
        np.testing.assert_array_equal(imputed[..., ::4], volume)
        loaded = mlflow.pyfunc.load_model(str(saved / "imputation"))
        here = loaded.predict(volume, params={"axis": 2, "count": 3})
        np.testing.assert_allclose(imputed, here, rtol=1e-5)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(address, {"inputs": volume.tolist(), "params": {"axis": "up"}})


def ask(address, request):
    question = urllib.request.Request(
        f"{address}/invocations",
        json.dumps(request).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(question, timeout=120) as answer:
        return json.load(answer)

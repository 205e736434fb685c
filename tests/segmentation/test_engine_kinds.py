"""An engine, an inference wrapper and a transform are one file and one entry each."""

import sys
from dataclasses import dataclass
from functools import partial
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest

from slicefill.datasets.checkpoints import ModelsDataset, StateFiles
from slicefill.params import AugmentationParams, ComparisonParams, SegmentationParams
from slicefill.pipelines.segmentation.nodes import record_learning, train_segmenters
from slicefill.pipelines.segmentation.prediction import predict_cases
from slicefill.segmentation import engines, inference, transforms
from slicefill.segmentation.inference import mirrored
from slicefill.segmentation.interface import PatchBatch
from slicefill.segmentation.objectives import transform_batch
from slicefill.segmentation.scans import ScanSet, make_scan
from slicefill.segmentation.transforms import make_all
from slicefill.types import Lazy, Promise

ENGINE = """
    import numpy as np
    from slicefill.fingerprint import fingerprint
    from slicefill.params.base import Params as BaseParams

    class Params(BaseParams):
        above: float

    def training_fingerprint(data, params, setting):
        return fingerprint(params, data.fingerprints)

    def train(data, params, setting, run):
        run.report({"train/above": params.above}, 1)
        history = [{"epoch": 1, "term": "train/above", "value": params.above}]
        return {"weights": {}, "above": params.above, "history": history}

    def load(checkpoint, segmentation):
        def predict(scan):
            inside = (scan.image[:, 0] > checkpoint["above"]).astype(np.float32)
            return np.stack([1 - inside, inside])
        return predict
"""
WRAPPER = """
    from slicefill.params.base import Params as BaseParams

    class Params(BaseParams):
        times: int

    def wrap(predictor, params):
        def predict(scan):
            probabilities = predictor(scan)
            return probabilities[::-1] if params.times % 2 else probabilities
        return predict
"""
TRANSFORM = """
    from slicefill.params.base import Params as BaseParams

    class Params(BaseParams):
        by: float

    def make(params):
        from monai.transforms.transform import RandomizableTransform

        class Brighten(RandomizableTransform):
            def __call__(self, data):
                return {**data, "image": data["image"] + params.by * self.R.randint(1, 3)}
        return Brighten(1.0)
"""
FILES = {
    (engines, "threshold"): ENGINE,
    (inference, "swapped"): WRAPPER,
    (transforms, "brighten"): TRANSFORM,
}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for (package, name), text in FILES.items():
        folder = tmp_path / package.__name__
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(dedent(text))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    for package, name in FILES:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        package.__dict__.pop(name, None)


@pytest.fixture
def predict(case, configuration, tmp_path):
    """Train and predict one case by the nodes of the pipeline."""
    values = configuration("tiny")["parameters"]
    made = case("u1", shape=(18, 16, 5))
    promise = Promise(lambda: made, "case")
    augmentation = AugmentationParams(**{**values["augmentation"], "through_plane": "auto"})
    scan = Lazy(partial(make_scan, made, None, None, augmentation), "scan")
    scans = {
        "none": ScanSet("mine", True, {"a": scan}, {"a": scan}, {"a": scan}, {"a": promise}, "none")
    }
    splits = pd.DataFrame({"case": ["a"], "subject": ["1"], "split": ["test"]})

    def run(*wrappers):
        shared = {"label_names": {0: "background", 7: "bright"}, "seeds": [0]}
        entry = {"mine": {"kind": "threshold", "above": 0.5}}
        own = {"engines": entry, "inference": {**values["segmentation"]["inference"]}}
        own["inference"]["wrappers"] = list(wrappers)
        params = SegmentationParams(**values["segmentation"] | shared | own)
        models = ModelsDataset(path=str(tmp_path / "models"), nested=True)
        models.save(train_segmenters(scans, StateFiles(tmp_path / "last"), params, augmentation))
        (model,) = models.load().values()
        assert model()["engine"] == "threshold"  # so that `slicefill segment` finds it
        history = record_learning(models.load(), scans, params)
        assert history["value"].tolist() == [0.5]
        rows = ComparisonParams(**{**values["comparison"], "preset": "quick"})
        read = (models.load(), scans, splits, {"a": promise}, {}, params, rows, values)
        promises, index = predict_cases(*read)
        assert index["engine"].tolist() == ["mine"]
        (prediction,) = promises.values()
        return prediction.make().label.stored, scan.make(), prediction.fingerprint

    return run


def test_an_engine_is_a_file_and_an_entry(predict):
    found, scan, _ = predict()
    inside = np.moveaxis(scan.image[:, 0] > 0.5, 0, scan.axis)
    np.testing.assert_array_equal(found, np.where(inside, 7, 0))


def test_wrappers_apply_in_order_and_count_in_the_fingerprint(predict):
    plain, _, own = predict()
    swapped, _, other = predict({"kind": "swapped", "times": 1})
    np.testing.assert_array_equal(swapped, np.where(plain == 7, 0, 7))
    twice, _, _ = predict({"kind": "swapped", "times": 1}, {"kind": "swapped", "times": 1})
    np.testing.assert_array_equal(twice, plain)
    assert own != other


def test_an_unknown_wrapper_is_refused_with_its_place(predict):
    with pytest.raises(ValueError, match=r"wrappers\[1\]\.kind: .*mirrored, .*swapped, got 'x'"):
        predict({"kind": "swapped", "times": 1}, {"kind": "x"})


def test_a_transform_is_a_file_and_an_entry_of_the_list():
    import torch

    zeros = torch.zeros(3, 1, 4, 4)
    batch = PatchBatch(zeros, zeros.long(), zeros + 1)
    made = make_all([{"kind": "brighten", "by": 1.0}, {"kind": "brighten", "by": 10.0}])
    moved = transform_batch(batch, made, np.random.default_rng(0))
    again = transform_batch(batch, made, np.random.default_rng(0))
    assert {round(float(one[0, 0, 0])) for one in moved.image} <= {11, 12, 21, 22}
    assert torch.equal(moved.image, again.image)
    assert torch.equal(moved.label, batch.label)


@pytest.mark.parametrize("axes", [["rows"], ["slices", "columns"], ["slices", "rows", "columns"]])
def test_a_mirrored_prediction_of_a_mirrored_scan_is_the_mirror_image(axes, case, configuration):
    values = configuration("tiny")["parameters"]["augmentation"]
    params = AugmentationParams(**{**values, "through_plane": "auto"})
    scan = make_scan(case("u1", shape=(10, 8, 4)), None, None, params)

    def lopsided(scan):
        image = scan.image[:, 0]
        shifted = np.roll(image, 1, axis=1) + 0.3 * np.roll(image, 1, axis=2)
        shifted = shifted + 0.1 * np.roll(image, 1, axis=0)
        return np.stack([1 - shifted, shifted]).astype(np.float32)

    wrapped = mirrored.wrap(lopsided, mirrored.Params(axes=axes))
    dims = {"slices": 0, "rows": 2, "columns": 3}
    for name in axes:
        turned = type(scan)(
            np.flip(scan.image, dims[name]), scan.label, scan.weight, scan.acquired, scan.spacing, 0
        )
        expected = np.flip(wrapped(scan), dims[name] or 1)
        np.testing.assert_allclose(wrapped(turned), expected, atol=1e-6)
        assert np.abs(lopsided(turned) - np.flip(lopsided(scan), dims[name] or 1)).max() > 0.01


@dataclass(frozen=True)
class Image:
    """All of a scan that this predictor looks at."""

    image: np.ndarray


def test_the_mean_over_mirror_images_by_hand():
    def first_row(scan):  # its value where the first row is, 0 elsewhere
        made = np.zeros((1, 1, 2, 1), np.float32)
        made[0, 0, 0] = scan.image[0, 0, 0]
        return made

    scan = Image(np.array([4.0, 2.0]).reshape(1, 1, 2, 1))
    mean = mirrored.wrap(first_row, mirrored.Params(axes=["rows"]))(scan)
    assert mean.ravel().tolist() == [2.0, 1.0]

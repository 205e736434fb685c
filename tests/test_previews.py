import base64
import inspect
import io

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from matplotlib.figure import Figure
from PIL import Image

import slicefill.reporting.figures
from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.figures import FiguresDataset, HistoryDataset
from slicefill.datasets.previews import preview_case, preview_history, preview_prediction
from slicefill.io.case_folder import write_case, write_prediction
from slicefill.types import Case, Lazy, Prediction

STRAIGHT = np.diag([1.0, 1.0, 2.0, 1.0])
ACQUIRED = [0, 2, 4]  # of five slices along the last axis


@pytest.fixture
def imputed(case, volume):
    """A case of which every second slice is synthetic, as imputation records it."""
    made = case(shape=(12, 10, 5), affine=STRAIGHT)
    mask = np.zeros((12, 10, 5), np.uint8)
    mask[..., [1, 3]] = 1
    slices = [{"index": k, "acquired": k // 2} if k in ACQUIRED else {"index": k} for k in range(5)]
    maps = {"synthetic_mask": volume(mask, STRAIGHT)}
    return Case(made.image, made.label, maps, {"axis": 2, "slices": slices})


@pytest.fixture
def prediction(volume):
    label = np.zeros((12, 10, 5), np.uint8)
    label[3:6] = 2
    record = {"axis": 2, "acquired": ACQUIRED, "label_names": {"0": "background", "2": "tumour"}}
    record["fingerprint"] = "1"
    return Prediction(volume(label, STRAIGHT), None, record)


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to the drawing function."""
    seen = []

    def overlays(*arguments):
        seen.append(arguments)
        return Figure(figsize=(1, 1))

    monkeypatch.setattr(slicefill.reporting.figures, "overlays", overlays)
    return seen


def promises(made):
    return {name: Lazy(lambda one=one: one, "") for name, one in made.items()}


def picture(preview):
    return Image.open(io.BytesIO(base64.b64decode(preview)))


def test_a_case_is_shown_as_a_picture(imputed, case):
    for one in (imputed, case(), Case(case().image)):
        shown = picture(preview_case(promises({"a": one}), None)).convert("L")
        assert min(shown.size) > 100
        assert np.asarray(shown).std() > 5  # not a blank sheet


def test_labels_and_synthetic_slices_have_a_column_each(imputed, drawn):
    preview_case(promises({"a": imputed}), None)
    ((image, _, columns, names, spec),) = drawn
    np.testing.assert_array_equal(image, imputed.image.intensities())
    assert list(columns) == ["image", "labels", "synthetic slices"]
    assert not columns["image"].any()
    np.testing.assert_array_equal(columns["labels"], imputed.label.stored)
    (mark,) = (label for label, name in names.items() if name == "synthetic slice")
    assert mark not in imputed.label.stored
    assert (columns["synthetic slices"][..., [1, 3]] == mark).all()
    assert not columns["synthetic slices"][..., ACQUIRED].any()
    assert np.flatnonzero(spec.acquired).tolist() == ACQUIRED


def test_the_cut_goes_through_the_middle_and_a_synthetic_slice(imputed, drawn):
    preview_case(promises({"a": imputed}), None)
    preview_case(promises({"a": Case(imputed.image)}), None)
    synthetic, plain = (arguments[-1] for arguments in drawn)
    assert synthetic.at in ((6, 5, 1), (6, 5, 3))  # 2 is the middle, but acquired
    assert plain.at == (6, 5, 2)
    assert (plain.axis, plain.acquired.all()) == (2, True)  # the largest spacing


def test_the_chosen_group_is_shown_if_it_is_there(imputed, drawn):
    cases = promises({"linear/a": imputed, "iia/a": imputed})
    for group in ("iia", "cubic", None):
        preview_case(cases, group)
    assert [arguments[-1].title for arguments in drawn] == ["iia/a", "linear/a", "linear/a"]


def test_until_the_chosen_group_is_there_that_of_the_shipped_weights_is_shown(imputed, drawn):
    cases = promises(dict.fromkeys(("linear/a", "pretrained/a", "iia/a"), imputed))
    for group in ("iia", "slice_imputation"):
        preview_case(cases, group)
    assert [arguments[-1].title for arguments in drawn] == ["iia/a", "pretrained/a"]


def test_a_prediction_lies_on_the_image_it_is_of(imputed, prediction, tmp_path, drawn):
    write_case(imputed, tmp_path / "linear" / "a")
    names = ("none/unet2d_0/a", "linear/unet2d_0/a")
    preview_prediction(promises(dict.fromkeys(names, prediction)), tmp_path)
    ((image, _, columns, labels, spec),) = drawn
    assert spec.title == "linear/unet2d_0/a"
    np.testing.assert_array_equal(image, imputed.image.intensities())
    np.testing.assert_array_equal(columns["prediction"], prediction.label.stored)
    assert labels[2] == "tumour"


@pytest.mark.parametrize("folder", [None, "empty"])
def test_a_prediction_without_an_image_lies_on_black(prediction, tmp_path, folder):
    images = None if folder is None else tmp_path / folder
    shown = picture(preview_prediction(promises({"linear/unet2d_0/a": prediction}), images))
    colours = {colour for _, colour in shown.convert("RGB").getcolors(maxcolors=2**24)}
    assert (0, 0, 0) in colours


def test_a_dataset_of_predictions_finds_the_images(imputed, prediction, tmp_path, drawn):
    write_case(imputed, tmp_path / "imputed" / "linear" / "a")
    write_prediction(prediction, tmp_path / "predictions" / "linear" / "unet2d_0" / "a")
    (tmp_path / "predictions" / "_COMPLETE").write_text('["linear/unet2d_0/a"]')
    dataset = CasesDataset(
        path=str(tmp_path / "predictions"), made_by="comparison", content="prediction"
    )
    dataset.preview(path=str(tmp_path / "imputed"))
    np.testing.assert_array_equal(drawn[0][0], imputed.image.intensities())


def test_figures_stand_below_each_other(tmp_path):
    dataset = FiguresDataset(filepath=str(tmp_path))
    dataset.save(
        {
            "a": Figure(figsize=(2, 1), facecolor="red"),
            "b": Figure(figsize=(1, 1), facecolor="blue"),
        }
    )
    sheet = picture(dataset.preview())
    first, second = (Image.open(io.BytesIO(png)) for png in dataset.load().values())
    assert sheet.size == (first.width, first.height + second.height)
    assert sheet.getpixel((5, 5)) == (255, 0, 0)
    assert sheet.getpixel((5, first.height + 5)) == (0, 0, 255)


def test_learning_curves_are_drawn_for_one_model_and_for_several():
    one = pd.DataFrame(
        {"model": "iia", "epoch": [1, 2], "term": "validation/psnr", "value": [20.0, 21.0]},
    )
    terms = ["train/loss", "validation/dice"]
    several = pd.DataFrame(
        {"method": "linear", "network": "unet2d_0", "epoch": 1, "term": terms, "value": 0.5}
    )
    for history in (one, several):
        assert picture(preview_history(history)).width > 100


@pytest.mark.parametrize(
    "dataset", [CasesDataset, FiguresDataset, HistoryDataset], ids=lambda one: one.__name__
)
def test_kedro_viz_knows_the_kind_of_the_preview(dataset):
    """It goes by the name of the annotation; one that it does not know is not shown."""
    assert inspect.signature(dataset.preview).return_annotation.__name__ == "ImagePreview"


def test_what_is_not_made_yet_says_so(tmp_path):
    with pytest.raises(DatasetError, match="kedro run --pipelines=imputation"):
        CasesDataset(path=str(tmp_path / "no"), made_by="imputation").preview()
    with pytest.raises(FileNotFoundError, match="found none; first run"):
        FiguresDataset(filepath=str(tmp_path / "no")).preview()
    for preview in (preview_case, preview_prediction):
        with pytest.raises(FileNotFoundError, match="found none; first run"):
            preview({}, None)

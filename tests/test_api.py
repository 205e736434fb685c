"""What a caller in Python can do without a project around it."""

import numpy as np
import pytest

from slicefill import api
from slicefill.ingestion.checks import BadCase
from slicefill.io.case_folder import write_volume
from slicefill.types import Case


@pytest.fixture
def files(case, tmp_path):
    made = case()
    write_volume(made.image, tmp_path / "scan.nii.gz")
    write_volume(made.label, tmp_path / "label.nii.gz")
    return tmp_path / "scan.nii.gz", tmp_path / "label.nii.gz"


def test_what_is_read_is_what_the_files_store(files, case):
    read, made = api.read(*files), case()
    np.testing.assert_array_equal(read.image.stored, made.image.stored)
    np.testing.assert_array_equal(read.label.stored, made.label.stored)
    assert api.read(files[0]).label is None


def test_a_file_that_is_damaged_is_refused_with_what_to_do(files):
    content = files[0].read_bytes()
    files[0].write_bytes(content[: len(content) // 2])
    with pytest.raises(BadCase):
        api.read(*files)


@pytest.mark.parametrize("method", ["nearest", "cubic", {"kind": "classical", "rule": "linear"}])
def test_a_case_is_imputed_by_a_method_of_a_name_and_verified(files, method):
    case = api.read(*files)
    imputed = api.impute(case, method=method, count=2)
    assert imputed.record["count"] == 2
    assert api.verify(imputed, case) == []
    np.testing.assert_array_equal(imputed.image.stored[..., ::3], case.image.stored)
    imputed.image.stored[0, 0, 3] += 1
    assert api.verify(imputed, case)


@pytest.mark.parametrize("call", ["impute", "propagate"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("moved", r"corners .* mm apart"),
        ("a row less", r"found shape .* where the image has"),
        ("nan", "1 that are NaN or infinite"),
    ],
)
def test_a_case_is_checked_as_files_are(case, call, damage, message):
    made = case()
    every_other = np.where(np.arange(made.label.stored.shape[2]) % 2, 0, made.label.stored)
    image, label = made.image, made.label.with_stored(every_other)
    if damage == "moved":
        away = np.eye(4)
        away[:3, 3] = 50
        label = label.with_stored(label.stored, away)
    elif damage == "a row less":
        label = label.with_stored(label.stored[1:])
    else:
        broken = image.stored.astype(np.float32)
        broken[0, 0, 0] = np.nan
        image = image.with_stored(broken)
    told = {"every": 2} if call == "propagate" else {"method": "linear", "count": 1}
    with pytest.raises(BadCase, match=message):
        getattr(api, call)(Case(image, label), **told)


def test_paths_may_be_of_pathlib_and_one_view_need_be_no_list(files):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        api.impute(files[0], method=files[0].with_name("none.pt"))
    fused = api.fuse(files[0], method="linear", count=1)
    made = api.impute(files[0], method="linear", count=1)
    np.testing.assert_array_equal(fused.dataobj, made.dataobj)


def test_without_a_word_the_shipped_weights_impute_onto_an_isotropic_grid(files):
    case = api.read(*files)
    imputed = api.impute(case)
    assert imputed.record["method"] == "pretrained"
    assert max(imputed.image.spacing) < 2 * min(imputed.image.spacing)
    assert api.verify(imputed, case) == []


def test_an_unknown_method_or_parameter_is_refused(files):
    case = api.read(*files)
    with pytest.raises(ValueError, match="expected pretrained, sharp, nearest, linear"):
        api.impute(case, method="lineer")
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        api.impute(case, method="linear", cuont=2)
    for quality in ("good", "best", "saint"):
        expected = rf"quality: {quality}: expected the shipped.*method linear"
        with pytest.raises(ValueError, match=expected):
            api.impute(case, method="linear", quality=quality)

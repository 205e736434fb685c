"""The benchmark on real data sets, on made ones: who takes part, what is scored, who passes."""

import importlib
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from slicefill.imputation.imputers import Imputer
from slicefill.simulation.subsampling import subsample
from slicefill.types import Case, SyntheticSlices

from .conftest import ROOT

HALVES = yaml.safe_load((ROOT / "benchmarks" / "halves.yml").read_text())
SHAPE = (12, 13, 9)
# Case 2k-1 and 2k are subject k; 1 and 3 are in the report half, 2 in the other, 5 in none.
SUBJECTS = {"hippocampus_001": 1, "hippocampus_002": 1, "hippocampus_004": 2, "hippocampus_005": 3}
STRANGER = "hippocampus_009"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("out_of_the_box")


@pytest.fixture
def sets(bench):
    return importlib.import_module("real_sets")


def scan(seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, SHAPE).astype(np.int16), rng.integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def data(tmp_path):
    """A folder with a set of five cases of four subjects, laid out as the real one."""
    folder = tmp_path / "data" / "hippocampus"
    entries = []
    for seed, name in enumerate([*SUBJECTS, STRANGER]):
        entry = {kind: f"{kind}sTr/{name}.nii.gz" for kind in ("image", "label")}
        for path, stored in zip(entry.values(), scan(seed), strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(stored, np.eye(4)), folder / path)
        entries.append(entry)
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    return folder.parent


@pytest.fixture
def measure(bench, data, tmp_path, capsys):
    """Run the benchmark; return its scores at ×2 and the tables that it printed."""

    def run(*options, methods=("nearest", "linear")):
        given = ["--data", data, "--out", tmp_path / "out", "--methods", *methods, *options]
        bench.main([str(option) for option in given])
        scores = pd.read_csv(tmp_path / "out" / "scores.csv", dtype={"subject": str})
        printed = capsys.readouterr().out
        tables = printed[printed.index("# Out of the box") :]  # logs before them tell the time
        return scores[scores["factor"] == 2], tables

    return run


LOOKED_AT = {  # subjects of the first trials, which chose the network
    "brain_t1": {"1004", "1012", "1104"},
    "hippocampus": {"4", "19", "32", "47", "62", "73", "86", "98", "113", "123", "141", "153",
                    "166", "178", "191"},
    "sts_ct": {"STS_006", "STS_023", "STS_041"},
    "mouse_brain": {"FVB_NCrl_in_vivo_2", "FVB_NCrl_in_vivo_5"},
}  # fmt: skip


@pytest.mark.parametrize("name", HALVES)
def test_nobody_who_chose_the_network_is_reported(name):
    report, development = (set(HALVES[name][half]) for half in ("report", "development"))
    assert not report & development
    assert 0 <= len(report) - len(development) <= 1
    assert LOOKED_AT.get(name, set()) <= development


def test_every_set_has_halves_and_an_environment(sets):
    assert set(sets.FACTORS) == set(HALVES)
    assert all((ROOT / "conf" / name).is_dir() for name in sets.FACTORS)


@pytest.mark.parametrize(("half", "subjects"), [("report", {"1", "3"}), ("development", {"2"})])
def test_a_half_never_shows_subjects_of_the_other(measure, half, subjects):
    scores, _ = measure("--half", half)
    assert set(scores["subject"]) == subjects
    assert set(scores["case"]) == {case for case, k in SUBJECTS.items() if str(k) in subjects}


def test_what_is_left_out_is_told(measure, data):
    image = data / "hippocampus" / "imagesTr" / "hippocampus_005.nii.gz"
    image.write_bytes(image.read_bytes()[:-20])
    scores, told = measure()
    assert set(scores["subject"]) == {"1"}
    assert "hippocampus ×2 (1 subjects, 2 cases)" in told
    assert "Not there and left out: brain_t1, sts_ct, mouse_brain, cine_sax." in told
    assert f"Dropped: {STRANGER} (subject 5 is in no half" in told
    assert "Dropped: hippocampus_005 (BadCase:" in told


def test_a_quick_look_takes_the_first_subjects(measure):
    scores, _ = measure("--limit", 1)
    assert set(scores["subject"]) == {"1"}


def test_scores_are_those_of_the_removed_slices_alone(measure):
    scores, _ = measure()
    stored = scan(0)[0].astype(float)
    error = np.rint((stored[..., 0:7:2] + stored[..., 2:9:2]) / 2) - stored[..., 1:8:2]
    scale = np.percentile(stored, 99.9) - stored.min()
    expected = 10 * np.log10(scale**2 / np.mean(error**2))
    found = scores.query("case == 'hippocampus_001' and method == 'linear'")
    assert found.set_index("metric")["value"]["psnr_field"] == pytest.approx(expected, abs=1e-3)


def test_nothing_is_measured_twice(measure, bench, monkeypatch):
    first, told = measure(methods=["nearest"])
    asked = []
    score = bench.score_method
    monkeypatch.setattr(
        bench, "score_method", lambda *given: asked.append(given[2].name) or score(*given)
    )
    assert measure(methods=["nearest"])[1] == told
    assert not asked
    second, _ = measure(methods=["nearest", "linear"])
    assert set(asked) == {"linear"}
    assert len(second) == 2 * len(first)


@pytest.mark.slow
def test_other_parameters_are_other_scores(measure, bench, monkeypatch):
    first, told = measure(methods=["linear"])
    load = bench.load_design

    def changed(folder, factor):
        design = load(folder, factor)
        body = design.evaluation.model_copy(update={"body_quantile": 0.5})
        return replace(design, evaluation=body)

    monkeypatch.setattr(bench, "load_design", changed)
    second, again = measure(methods=["linear"])
    assert len(second) == 2 * len(first)
    assert again != told  # the old ones do not stand in the table


@pytest.fixture
def judged(bench, sets, data):
    """Verdicts on hand-made scores: two cases of subject a, one of subject b."""

    def judge(factor, **psnr):
        psnr |= {"linear": (20, 22, 30), "cubic": (10, 10, 10)}
        rows = [
            ["hippocampus", factor, method, case[0], case, "psnr_body", value, "", ""]
            for method, values in psnr.items()
            for case, value in zip(("a1", "a2", "b1"), values, strict=True)
        ]
        columns = ["set", "factor", "method", "subject", "case", "metric", "value", "weights"]
        scores = pd.DataFrame(rows, columns=[*columns, "mark"])
        design = sets.load_design(data / "hippocampus", factor)
        return pd.DataFrame(bench.judge(bench.Measured(design, scores, {})))

    return judge


@pytest.mark.parametrize(("factor", "met"), [(2, "yes"), (4, "no")])
def test_the_subject_is_the_unit_of_the_bar(judged, factor, met):
    """a gains 1 dB twice and b 0.2: 0.6 by subject, 0.73 by case; ×4 asks for 0.7."""
    (verdict,) = judged(factor, pretrained=(21, 23, 30.2)).to_dict("records")
    assert (verdict["against"], verdict["gain"], verdict["met"]) == ("linear", "+0.600", met)


def test_a_mean_gain_does_not_make_up_for_most_cases(judged):
    (verdict,) = judged(2, pretrained=(30, 21, 29)).to_dict("records")
    assert (verdict["gain"][0], verdict["cases better"], verdict["met"]) == ("+", "33%", "no")


@pytest.mark.parametrize(("adapted", "met"), [((21, 23, 31), "yes"), ((21, 23, 30.9), "no")])
def test_adaptation_must_not_fall_behind_what_it_began_with(judged, adapted, met):
    verdicts = judged(2, pretrained=(21, 23, 31), adapted=adapted)
    assert verdicts[verdicts["against"] == "pretrained"]["met"].tolist() == [met]
    assert verdicts[verdicts["against"] == "linear"]["met"].tolist() == ["yes", "yes"]


@pytest.mark.parametrize("sign", [1, -1], ids=["that knows the error", "that is wrong throughout"])
def test_confidence_is_held_against_the_true_error(sets, data, volume, sign):
    """A method that errs by a known amount and says how much, or says the opposite."""
    design = sets.load_design(data / "hippocampus", 2)
    stored, label = scan(7)
    truth = Case(volume(stored, np.eye(4)), volume(label, np.eye(4)))
    error = np.random.default_rng(0).integers(0, 40, (4, 1, 1, *SHAPE[:2])).astype(np.float32)

    def fill(stack, positions, rng):
        removed = np.moveaxis(stored, 2, 0)[1:8:2, None, None]
        share = error[:, :, 0] / np.diff(stack.window)[0, 0]
        confidence = 1 - share if sign > 0 else share
        return SyntheticSlices(
            removed + error, confidence.astype(np.float32), stack.label[:-1, None]
        )

    imputer = Imputer("known", "known", fill, design.imputation.window, "")
    scores = sets.score_method(truth, subsample(truth, design.subsampling), imputer, design)
    assert scores["confidence_rank"] == pytest.approx(sign, abs=0.01)
    due = scores["confidence_due"] if sign > 0 else 1 - scores["confidence_due"]
    assert scores["confidence_mean"] == pytest.approx(due, abs=1 / 255)


def test_changed_background_is_counted_between_background_alone(sets, volume):
    """Background fills 10 rows of 12; one synthetic voxel of it is changed, and one of the body."""
    stored, _ = scan(0)
    stored[:10] = -5
    truth = Case(volume(stored, np.eye(4)))
    changed = stored.copy()
    changed[3, 4, 1] = changed[11, 4, 1] = 900
    slices = sets.Correspondence(2, np.arange(9), np.arange(9), np.arange(9) % 2 == 1)
    for made, share in ((stored, 0.0), (changed, 1 / (10 * 13 * 4))):
        imputed = Case(volume(made, np.eye(4)), record={"count": 1})
        assert sets.background_changed(imputed, truth, slices) == pytest.approx(share)
    noise = Case(volume(scan(0)[0], np.eye(4)), record={"count": 1})
    assert np.isnan(sets.background_changed(noise, noise, slices))

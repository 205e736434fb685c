"""Which scans the shipped weights learn from before they impute them, and how often one is read."""

from collections import Counter

import pytest

from slicefill.batch.adapt import adapted_loader
from slicefill.batch.find import find_scans
from slicefill.batch.tasks import make_plan
from slicefill.imputation.methods import pretrained
from slicefill.imputation.methods.adapted import adaptation
from slicefill.ingestion import reading
from slicefill.io.case_folder import write_volume
from slicefill.params import ImputationParams


@pytest.fixture
def reads(monkeypatch):
    """How often each scan was read."""
    counts, read = Counter(), reading.read_raw_case

    def counted(raw, params):
        counts[raw.id] += 1
        return read(raw, params)

    monkeypatch.setattr(reading, "read_raw_case", counted)
    return counts


@pytest.fixture
def learned(monkeypatch):
    """The scans that were learned from, each of which is made three times."""
    names = []

    def adapt(scans, start, rule, run):
        names.append([name for name, one in scans.cases.items() for _ in range(3) if one.make()])
        found = {"used": "pretrained", "gain_db": None, "reason": "too little to tell"}
        own = adaptation.adaptation_fingerprint(scans, start, rule)
        return {"kind": "pretrained", "fingerprint": own, "adaptation": found}

    monkeypatch.setattr(adaptation, "adapt", adapt)
    monkeypatch.setattr(pretrained, "load_pretrained", lambda: {"weights": {}})
    return names


def test_each_scan_is_read_once_and_a_damaged_one_is_not_learned_from(
    case, tmp_path, reads, learned
):
    for number in range(3):
        write_volume(case(seed=number).image, tmp_path / "scans" / f"{number}.nii.gz")
    (tmp_path / "scans" / "1.nii.gz").write_bytes(b"\x1f\x8b")
    said = []
    with find_scans(tmp_path / "scans") as found:
        plan = make_plan(tmp_path / "scans", None, found.cases, [])
        adapted_loader(plan, ImputationParams(), 1.0, said.append)
        assert {name: reads[name] for name in "02"} == {"0": 1, "2": 1}
        adapted_loader(plan, ImputationParams(), 1.0, said.append)
    assert len(learned) == 1  # the second time, the folder of outputs has the weights
    assert set(learned[0]) == {"0", "2"}
    assert said == ["adaptation: the shipped weights impute: too little to tell"] * 2


def test_where_no_scan_can_be_read_imputing_says_why(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b")
    said = []
    with find_scans(tmp_path / "a.nii.gz") as found:
        plan = make_plan(tmp_path / "a.nii.gz", None, found.cases, [])
        load = adapted_loader(plan, ImputationParams(), 1.0, said.append)
    assert said == ["adaptation: no scan can be read"]
    assert load(ImputationParams(count=1)).name == "pretrained"

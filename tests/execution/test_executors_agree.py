"""Cases of the tiny study by every executor: the same bits, whatever happens to a worker."""

import pickle
from functools import partial

import pandas as pd
import pytest

from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.checkpoints import ModelsDataset
from slicefill.io.checkpoints import write_checkpoint
from slicefill.params import (
    AugmentationParams,
    ComparisonParams,
    EvaluationParams,
    IngestionParams,
    SegmentationParams,
)
from slicefill.pipelines.anisotropization import subsample_cases
from slicefill.pipelines.augmentation.nodes import assemble_scans, list_slices
from slicefill.pipelines.evaluation.nodes import evaluate_cases
from slicefill.pipelines.imputation.nodes import impute_cases
from slicefill.pipelines.ingestion import check_raw_cases, import_cases
from slicefill.pipelines.segmentation.prediction import predict_cases
from slicefill.types import Lazy

from .executed import die

MODEL = "slice_imputation"
KINDS = ["processes", "dask"]


@pytest.fixture(scope="module")
def executors():
    """Every executor by its kind; Dask's has a scheduler and two workers on this machine."""
    from distributed import LocalCluster

    common = {"workers": 2, "scheduler": None, "attempts": 3}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield {
            "serial": {**common, "kind": "serial"},
            "processes": {**common, "kind": "processes"},
            "dask": {**common, "kind": "dask", "scheduler": cluster.scheduler_address},
        }


@pytest.fixture(scope="module")
def data(tiny_run):
    return tiny_run[0] / "data"


@pytest.fixture(scope="module")
def parameters(configuration):
    return dict(configuration("tiny")["parameters"])


@pytest.fixture(scope="module")
def cases(data):
    return CasesDataset(path=str(data / "02_intermediate/tiny/cases"), made_by="").load()


@pytest.fixture(scope="module")
def acquired_case(data):
    return CasesDataset(path=str(data / "03_primary/tiny/S_x4/acquired"), made_by="").load()


@pytest.fixture(scope="module")
def splits(data):
    return pd.read_csv(data / "02_intermediate/tiny/splits.csv", dtype=str)


@pytest.fixture(scope="module")
def imputed(data, acquired_case, splits, imputation_params, tiny_parameters):
    """Promises of all cases by a classical method and by the network."""
    models = ModelsDataset(path=str(data / "06_models/tiny/S_x4")).load()
    params = imputation_params(methods=["shape_based", MODEL], cases="all", through_plane="S")
    given = (acquired_case, splits, models, params.methods, params, tiny_parameters, {}, {})
    return impute_cases(*given)[0]


def survives(promises):
    assert promises
    for name, promise in promises.items():
        back = pickle.loads(pickle.dumps(promise))
        assert back.fingerprint == promise.fingerprint, name
    return back


def test_every_case_can_be_sent_to_a_worker(data, cases, imputed, subsampling, parameters):
    params = IngestionParams(**parameters["ingestion"])
    raw = data / "01_raw" / "tiny"
    manifest, _ = check_raw_cases(raw, params)
    promises = (import_cases(raw, manifest, params), subsample_cases(cases, subsampling(axis="S")))
    for sent in (*promises, imputed):
        assert survives(sent).make().image.stored.size


def test_every_prediction_can_be_sent_to_a_worker(acquired_case, splits, parameters, tmp_path):
    augmentation = AugmentationParams(**parameters["augmentation"])
    comparison = ComparisonParams(**parameters["comparison"])
    slices = list_slices(acquired_case, {}, splits, augmentation, comparison)
    scans = assemble_scans(slices, acquired_case, {}, augmentation)
    params = SegmentationParams(**parameters["segmentation"])
    models = ModelsDataset(path=str(tmp_path), nested=True)
    for method, own in scans.items():
        for seed in params.seeds:
            file = tmp_path / method / f"{own.engine}_{seed}.pt"
            write_checkpoint({"fingerprint": "mark"}, file)
    promises, index = predict_cases(
        models.load(), scans, splits, acquired_case, {}, params, comparison, parameters
    )
    assert set(index["subject"]) <= set(splits["subject"])
    survives(promises)


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def killing(flag, promise):
    die("a case", flag)
    return promise.make()


def fail():
    raise ValueError("no luck")


def save(folder, executor, promises):
    dataset = CasesDataset(path=str(folder), made_by="", executor=executor)
    dataset.save(promises)
    return dataset


@pytest.fixture(scope="module")
def serial(imputed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    return save(folder, None, {**imputed, "shape_based/bad": Lazy(fail, "mark")})


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
def test_imputed_cases_are_the_same_bits_though_a_worker_is_killed(
    kind, executors, imputed, serial, tmp_path
):
    name = next(reversed(imputed))
    killed = Lazy(partial(killing, tmp_path / "flag", imputed[name]), imputed[name].fingerprint)
    bad = {"shape_based/bad": Lazy(fail, "mark")}
    parallel = save(tmp_path / "imputed", executors[kind], {**imputed, name: killed, **bad})
    assert (tmp_path / "flag").exists()  # a worker was killed in that case
    assert contents(tmp_path / "imputed") == contents(serial._path)
    assert list(parallel.load()) == list(imputed)
    assert parallel.failures() == {"shape_based/bad": "ValueError: no luck"}


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_same_bits(kind, executors, serial, cases, splits, parameters, tmp_path):
    params = EvaluationParams(**parameters["evaluation"])
    promises = evaluate_cases(serial.load(), cases, splits, params)

    def found(kind):
        folder = tmp_path / kind
        dataset = CasesDataset(
            path=str(folder), made_by="", content="evaluation", executor=executors[kind]
        )
        dataset.save(promises)
        return contents(folder)

    assert found(kind) == found("serial")

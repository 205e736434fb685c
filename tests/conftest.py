"""What the tests of the Kedro side share: configuration, cases, a project, a finished run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock
from kedro.config import OmegaConfigLoader

from slicefill.advice import remember_run
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params import ImputationParams
from slicefill.settings import CONFIG_LOADER_ARGS
from slicefill.simulation.subsampling import AnisotropizationParams
from slicefill.types import Case, Checkpoint, Volume

ROOT = Path(__file__).parents[1]
TURNED = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.4) @ np.diag([0.7, -0.8, 4.0]), [-40.0, 25.0, 7.0]
)


def _configuration(env: str = "base", **runtime_params: Any) -> OmegaConfigLoader:
    # `base` leaves out conf/local, which is the developer's own.
    source = str(ROOT / "conf")
    return OmegaConfigLoader(source, env, runtime_params=runtime_params, **CONFIG_LOADER_ARGS)


@pytest.fixture(autouse=True)
def no_run_in_use() -> None:
    """Commands that messages advise are those of no other test."""
    remember_run(None, {})


@pytest.fixture(scope="session")
def configuration() -> Callable[..., OmegaConfigLoader]:
    """Configuration of an environment, with what `--params` would set."""
    return _configuration


@pytest.fixture(scope="session")
def imputation_params() -> Callable[..., ImputationParams]:
    """Parameters as in conf/base, with changes."""
    base = _configuration()["parameters"]["imputation"]
    return lambda **changes: ImputationParams(**{**base, **changes})


@pytest.fixture(scope="session")
def subsampling() -> Callable[..., AnisotropizationParams]:
    """Parameters as in conf/base, with changes."""
    base = _configuration()["parameters"]["anisotropization"]
    return lambda **changes: AnisotropizationParams(**{**base, **changes})


@pytest.fixture(scope="session")
def synthesis_params() -> SynthesisParams:
    """Parameters of conf/tiny."""
    return SynthesisParams(**_configuration("tiny")["parameters"]["synthesis"])


@pytest.fixture(scope="session")
def tiny_parameters() -> dict[str, Any]:
    """All parameters of conf/tiny."""
    return _configuration("tiny")["parameters"]


@pytest.fixture(scope="session")
def untrained(synthesis_params: SynthesisParams) -> Checkpoint:
    """What a training of conf/tiny writes, with the random weights that it starts from."""
    import torch

    from slicefill.imputation.methods.slice_imputation.critics import Critics
    from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
    from slicefill.imputation.methods.slice_imputation.training import make_checkpoint
    from slicefill.training.fit import Progress

    made = synthesis_params
    torch.manual_seed(made.optimisation.seed)
    networks = {
        "synthesis": SynthesisModel(1, made.network, made.parts),
        "critics": Critics(1, made.critic_width, made.parts),
    }
    scores = {"validation/psnr": 30.0, "validation/ssim": 0.9}
    weights = {name: network.state_dict() for name, network in networks.items()}
    history = [{"epoch": 0, "term": name, "value": value} for name, value in scores.items()]
    best = {"score": 30.0, "epoch": 0, "values": scores, "weights": weights}
    return make_checkpoint(Progress(0, best, history), 1, made, "abc")


def _volume(
    stored: np.ndarray, affine: np.ndarray = TURNED, codes: tuple[int, int] = (1, 1), **header: Any
) -> Volume:
    made = header.get("kind", nib.Nifti1Header)(endianness=stored.dtype.str[0].replace("|", "<"))
    made.set_data_shape(stored.shape)
    made.set_data_dtype(stored.dtype)
    made.set_sform(affine, codes[0])
    made.set_qform(affine, codes[1])
    made.set_slope_inter(*header.get("scale", (1, 0)))
    return Volume(stored, made)


@pytest.fixture(scope="session")
def volume() -> Callable[..., Volume]:
    """Wrap stored numbers; options: affine, codes (sform, qform), kind of header, scale."""
    return _volume


@pytest.fixture(scope="session")
def case() -> Callable[..., Case]:
    """Make a case of random numbers of a dtype, 4 slices along the last axis, with a label."""

    def make(dtype: str = "i2", seed: int = 0, **options: Any) -> Case:
        rng = np.random.default_rng(seed)
        shape = options.pop("shape", (12, 10, 4))
        image = _volume(rng.integers(0, 200, shape).astype(dtype), **options)
        label = rng.choice([0, 2, 5], shape[:3]).astype(np.uint8)
        return Case(image, _volume(label, image.affine), record={"seed": seed})

    return make


def _project(folder: Path) -> Path:
    """Copy what makes the project, without its data."""
    for env in ("base", "tiny"):
        shutil.copytree(ROOT / "conf" / env, folder / "conf" / env)
    shutil.copy(ROOT / "conf" / "logging.yml", folder / "conf")
    shutil.copytree(ROOT / "docs" / "paper", folder / "docs" / "paper")
    for made in ("conf/local", "src"):
        (folder / made).mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without data."""
    return _project(tmp_path / "project")


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project without data, for all tests of a module."""
    return _project(tmp_path_factory.mktemp("shared") / "project")


def _python(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # The source is found by its path, whether or not the package is installed.
    quiet = {
        "PYTHONPATH": str(ROOT / "src"),
        "COLUMNS": "300",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SLICEFILL_TRACKING": "off",
    }
    # `slicefill impute --quiet`, called by an earlier test, leaves TQDM_DISABLE in this process.
    ours = ("MLFLOW", "SLICEFILL", "TQDM")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**kept, **quiet, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,  # half a minute where nothing else runs
    )


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a project, in a process of its own, tracking off unless asked for."""
    return _python


@pytest.fixture(scope="session")
def kedro() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Kedro in a project, in a process of its own, tracking off unless asked for."""
    return lambda project, *arguments, **env: _python(project, "-m", "kedro", *arguments, **env)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, str]:
    """The project after `kedro run --env=tiny`, tracked, and what the run said. Do not change.

    The worker that needs it first makes it for all.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    folder, said = shared / "tiny" / "project", shared / "tiny.txt"
    with FileLock(shared / "tiny.lock"):
        if not said.exists():
            _project(folder)
            done = _python(folder, "-m", "kedro", "run", "--env=tiny", SLICEFILL_TRACKING="on")
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            said.write_text(done.stdout + done.stderr, "utf-8")
    return folder, said.read_text("utf-8")

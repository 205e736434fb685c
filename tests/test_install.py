"""`pip install slicefill`: what works without the extra `pipelines`, and what the wheel holds."""

import json
import os
import re
import shutil
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from venv import EnvBuilder

import nibabel as nib
import numpy as np
import pytest
from packaging.requirements import Requirement

from .conftest import ROOT
from .starting import program, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REMEDY = "pip install 'slicefill[pipelines]'"
LEFT_OUT = (
    "slicefill.__main__",
    "slicefill.adapters",
    "slicefill.audits",
    "slicefill.cli",
    "slicefill.datasets",
    "slicefill.hooks",
    "slicefill.imputation.uncertainty.calibration",
    "slicefill.ingestion.manifest",
    "slicefill.io.case_result",
    "slicefill.ingestion.splits",
    "slicefill.pipeline_registry",
    "slicefill.pipelines",
    "slicefill.reporting",
    "slicefill.settings",
    "slicefill.tracking",
    "slicefill.tuning",
)


def closure(required: Iterable[str]) -> list[Distribution]:
    """The distributions that pip would install, as the running interpreter has them."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(each) for each in required]
    while waiting:
        each = waiting.pop()
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        if name in found or (each.marker and not each.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            pytest.skip(f"the package needs {name}, which is not installed here")
        waiting += [Requirement(one) for one in found[name].requires or ()]
    return list(found.values())


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory):
    """A folder of links to the dependencies of the package, and to theirs; to nothing else."""
    folder = tmp_path_factory.mktemp("dependencies")
    for found in closure(PROJECT["dependencies"]):
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            source, link = Path(str(found.locate_file(top))), folder / top
            if source.exists() and not link.exists():
                link.symlink_to(source)
    return folder


@pytest.fixture
def core(dependencies, tmp_path):
    """Run Python in an empty folder, with the source and its dependencies alone."""
    path = os.pathsep.join([str(dependencies), str(ROOT / "src")])
    return lambda *arguments, **variables: run(
        [sys.executable, "-S", *arguments], tmp_path, PYTHONPATH=path, **variables
    )


def write_scan(folder, shape=(40, 36, 5)):
    stored = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(stored, np.diag([1.0, 1.0, 4.0, 1.0])), folder / "scan.nii.gz")
    return stored


IMPUTE = """
import slicefill
for method in ("linear", "shape_based", "pretrained"):
    out = slicefill.impute("scan.nii.gz", method=method, spacing=1.0)
    assert out.shape == (40, 36, 17), out.shape
    assert slicefill.verify(out, "scan.nii.gz") == []
    slicefill.write(out, f"{method}.nii.gz")
print(slicefill.__file__)
"""


def test_the_dependencies_are_few():
    names = {found.name.lower() for found in closure(PROJECT["dependencies"])}
    assert not names & {"dask", "kedro", "kedro-telemetry", "mlflow", "optuna", "pandas", "plotly"}


def test_the_page_lists_the_extras():
    page = (ROOT / "docs" / "how-to" / "install.md").read_text()
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)))
    assert set(named) == set(PROJECT["optional-dependencies"])


def check_imputed(path, stored):
    image = nib.load(path)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., ::4], stored)
    np.testing.assert_allclose(image.header.get_zooms(), 1)


def test_without_the_extra_a_scan_is_imputed_and_verified(core, tmp_path):
    stored = write_scan(tmp_path)
    assert "No module named 'kedro'" in core("-c", "import kedro").stderr
    done = core("-c", IMPUTE)
    assert done.returncode == 0, done.stderr
    check_imputed(tmp_path / "pretrained.nii.gz", stored)


@pytest.mark.server
def test_without_the_extra_every_command_works(core, tmp_path):
    stored = write_scan(tmp_path, (64, 64, 12))
    shutil.copy(tmp_path / "scan.nii.gz", tmp_path / "label.nii.gz")
    for name in "ab":
        (tmp_path / "many" / name).mkdir(parents=True)
        write_scan(tmp_path / "many" / name)
    for command in (
        ("info", "scan.nii.gz"),
        ("impute", "scan.nii.gz", "--spacing=1.0", "--label=label.nii.gz", "--adapt=1s"),
        ("verify", "scan_isotropic.nii.gz", "--against", "scan.nii.gz"),
        ("impute", "scan.nii.gz", "linear.nii.gz", "--method=linear"),
        ("evaluate", "scan_isotropic.nii.gz", "linear.nii.gz"),
        ("impute", "many", "--jobs=2"),
    ):
        done = core(*program(*command))
        assert done.returncode == 0, done.stdout + done.stderr
    check_imputed(tmp_path / "scan_isotropic.nii.gz", stored)


SCORE = """
import numpy as np
from slicefill.metrics.image import psnr, ssim
from slicefill.metrics.overlap import MaskPair
from slicefill.metrics import list_metrics
real = np.random.default_rng(0).random((4, 20, 20))
everywhere = np.ones(real.shape, bool)
print(ssim(real, real, everywhere, 1.0), psnr(real + 0.1, real, everywhere, 1.0))
mask = real > 0.5
pair = MaskPair(mask, mask, np.ones(3), np.ones(4, bool))
of_cases = [metric for metric in list_metrics("labels") if metric.per == "case"]
print({metric.name: float(metric.compute(pair)) for metric in of_cases})
"""


def test_without_the_extra_images_and_labels_are_scored(core):
    done = core("-c", SCORE)
    assert done.returncode == 0, done.stderr
    images, labels = done.stdout.splitlines()
    assert [float(each) for each in images.split()] == pytest.approx([1, 20])
    found = json.loads(labels.replace("'", '"'))
    assert found["dice"] == 1
    assert found["assd"] == found["volume_bias"] == 0


WALK = """
import importlib, pkgutil, sys, slicefill
left_out = tuple(sys.argv[1:])
missing = []
def walk(path, prefix):
    for found in pkgutil.iter_modules(path, prefix):
        if found.name.startswith(left_out):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            missing.append(f"{found.name} needs {error.name}")
            continue
        if found.ispkg:
            walk(module.__path__, found.name + ".")
walk(slicefill.__path__, "slicefill.")
print(missing)
"""


def test_without_the_extra_every_module_of_the_library_is_imported(core):
    done = core("-c", WALK, *LEFT_OUT)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_without_the_extra_every_command_explains_itself(core):
    said = core(*program("--help")).stdout
    commands = re.findall(r"^    ([a-z][a-z-]+)\s", said, flags=re.MULTILINE)
    assert {"verify", "tune-worker"} <= set(commands)
    for command in commands:
        done = core(*program(command, "--help"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: slicefill {command} ")
    done = core("-c", "from slicefill.command_line.bids import main; main(['--help'])")
    assert done.stdout.startswith("usage: slicefill-bids "), done.stderr


@pytest.mark.parametrize(
    "arguments", [program("tune-worker", "--env=tiny"), ("-m", "slicefill")], ids=["worker", "-m"]
)
def test_what_needs_the_extra_says_so(core, arguments):
    done = core(*arguments)
    assert done.returncode != 0
    assert REMEDY in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package as a wheel, built from a copy of the source."""
    tools = {found.name: found.version for found in closure(["pip", "setuptools"])}
    if int(tools["setuptools"].partition(".")[0]) < 77:
        pytest.skip("setuptools 77 or newer is not installed here")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=left_out)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = run([*build, "--no-index", f"--wheel-dir={built}", source], built)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(built.glob("slicefill-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, dependencies, tmp_path_factory):
    """The programs of an environment that holds the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("venv")
    EnvBuilder(symlinks=True).create(folder)
    programs = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    done = run([*pip, "install", "--no-deps", "--no-index", wheel], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    done = run([*pip, "check"], folder)  # what it asks for is what there is
    assert done.returncode == 0, done.stdout + done.stderr
    return programs


@pytest.mark.server
def test_the_wheel_holds_weights_types_and_licence(wheel):
    weights = ROOT / "src" / "slicefill" / "imputation" / "methods" / "pretrained"
    expected = {str(each.relative_to(ROOT / "src")) for each in weights.glob("*.*")}
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        licence = next(name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert content.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {"slicefill/py.typed", *expected} <= names
    assert not any(name.startswith(("tests", "benchmarks", "conf")) for name in names)


@pytest.mark.server
def test_the_wheel_imputes_a_file_in_an_empty_folder(installed, tmp_path):
    stored = write_scan(tmp_path)
    done = run([installed / "python", "-c", IMPUTE], tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed.parent)
    check_imputed(tmp_path / "pretrained.nii.gz", stored)


@pytest.mark.server
def test_the_command_of_the_wheel_imputes_a_file_in_an_empty_folder(installed, tmp_path):
    stored = write_scan(tmp_path)
    program = installed / "slicefill"
    done = run([program, "impute", "scan.nii.gz", "--spacing=1.0"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    check_imputed(tmp_path / "scan_isotropic.nii.gz", stored)
    done = run([program, "verify", "scan_isotropic.nii.gz", "--against=scan.nii.gz"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

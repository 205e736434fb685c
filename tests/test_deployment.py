"""What lies beside the package: image, CI, job files. Each names only what there is."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from kedro.framework.cli.utils import _split_params
from kedro.io import DataCatalog

from .conftest import ROOT
from .test_params import ENVIRONMENTS, pipelines

SLURM = sorted((ROOT / "deploy" / "slurm").iterdir())
KUBERNETES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
JOBS = [path for path in KUBERNETES if path.stem != "settings"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def instructions(name):
    return [line.split(maxsplit=1)[1] for line in DOCKERFILE.splitlines() if line.startswith(name)]


def options(arguments):
    """Options of `kedro run`, by name."""
    pairs = (each.removeprefix("--").partition("=") for each in arguments if each.startswith("--"))
    return {name: value for name, _, value in pairs}


def commands(path):
    """The `kedro run` commands of a shell script."""
    text = path.read_text().replace("\\\n", " ")
    found = re.findall(r"^kedro (run [^|\n]*)", text, flags=re.MULTILINE)
    return [shlex.split(command) for command in found]


def check_run(arguments):
    given = options(arguments)
    assert arguments[0] == "run"
    assert set(given) <= {"env", "pipelines", "namespaces", "to-outputs", "params"}
    chosen = given.get("namespaces", given.get("pipelines")).split(",")
    assert set(chosen) <= set(pipelines())
    made = set().union(*(pipelines()[name].all_outputs() for name in chosen))
    assert set(given.get("to-outputs", "").split(",")) - {""} <= made
    return given


def test_the_image_copies_what_there_is_and_lets_it_through():
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for copied in instructions("COPY")
        if not copied.startswith("--from")
        for source in copied.split()[:-1]
    ]
    assert {"pyproject.toml", "constraints.txt", "src", "conf", "docs/paper"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in let_through


def test_no_credentials_go_into_the_image():
    assert "conf/local/*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_image_runs_the_program_as_somebody_who_is_not_root():
    assert instructions("USER")[-1] not in ("root", "0")
    (entry,) = map(json.loads, instructions("ENTRYPOINT"))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert entry == ["slicefill"] == [name for name in scripts if name in entry]
    assert "USER" not in DOCKERFILE.rpartition("FROM")[0]  # it is the last stage that runs
    assert instructions("VOLUME") == ["/slicefill/data"]


def test_the_image_has_no_packages_for_development():
    (wanted,) = re.findall(r"'\.\[(.*)\]'", DOCKERFILE)
    assert set(wanted.split(",")) == {"pipelines", "s3", "postgres"}


@pytest.mark.server
def test_the_image_builds_and_runs():
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("docker is installed, but no engine answers")
    subprocess.run(["docker", "build", "--tag", "slicefill-test", str(ROOT)], check=True)
    run = ["docker", "run", "--rm"]
    kedro = [*run, "--entrypoint=kedro", "slicefill-test", "run", "--env=tiny"]
    for command in ([*run, "slicefill-test", "--help"], kedro):
        assert subprocess.run(command, check=False).returncode == 0


def test_ci_builds_the_image_and_runs_the_tiny_study_in_it():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    said = " ".join(str(step.get("run", step.get("uses"))) for step in jobs["image"]["steps"])
    assert "build-push-action" in said
    assert "docker run --rm slicefill --help" in said
    assert re.search(r"docker run .*--entrypoint kedro slicefill run --env=tiny", said)


@pytest.mark.parametrize("path", SLURM, ids=lambda path: path.name)
def test_scripts_for_slurm_parse(path):
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_scripts_for_slurm_run_pipelines_that_there_are():
    found = {path.name: commands(path) for path in SLURM if path.suffix == ".sbatch"}
    assert set(found) == {"train.sbatch", "impute.sbatch", "finish.sbatch"}
    for (arguments,) in found.values():
        check_run(arguments)


def test_the_chain_of_jobs_names_each_script_and_waits(tmp_path):
    """A stand-in for sbatch writes down how it was called."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/sh\necho "$@" >> "$0.log"\nwc -l < "$0.log"\n')
    sbatch.chmod(0o755)
    submit = str(ROOT / "deploy" / "slurm" / "submit.sh")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run([submit, "hippocampus"], env=environment, check=True, capture_output=True)
    called = [line.split()[1:] for line in (tmp_path / "sbatch.log").read_text().splitlines()]
    assert [line[-1].rpartition("/")[2] for line in called] == [
        "train.sbatch",
        "impute.sbatch",
        "finish.sbatch",
    ]
    assert [line[:-1] for line in called] == [
        [],
        ["--dependency=afterok:1"],
        ["--dependency=afterany:2"],
    ]


def test_a_share_of_an_array_is_a_parameter_that_the_catalog_understands(configuration):
    (arguments,) = commands(ROOT / "deploy" / "slurm" / "impute.sbatch")
    text = (
        options(arguments)["params"].replace("$SLURM_ARRAY_TASK_ID", "3").replace("$shards", "16")
    )
    given = _split_params(None, None, text)
    assert given == {"shard": "3/16"}
    catalog = DataCatalog.from_config(dict(configuration("tiny", **given)["catalog"]))
    assert catalog.get("imputed_cases")._describe()["shard"] == "3/16"


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_jobs_for_kubernetes_run_pipelines_that_there_are(path):
    job = yaml.safe_load(path.read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy asks for it
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["command"][-1] == "kedro"  # the image's entry point is slicefill
    assert check_run(container["args"])["env"] in ENVIRONMENTS
    settings = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "settings.yaml").read_text())
    assert container["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 0), (1, 1)])
@pytest.mark.parametrize("name", ["train", "impute"])
def test_a_refused_scan_does_not_stop_the_jobs_that_follow(name, code, told, tmp_path):
    """`kubectl wait --for=condition=complete` waits for jobs that end with 0."""
    job = yaml.safe_load((ROOT / "deploy" / "kubernetes" / f"{name}.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    kedro = tmp_path / "kedro"
    kedro.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    kedro.chmod(0o755)
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == told
    assert done.stdout.split() == container["args"]


def test_a_pod_that_is_ended_lets_the_run_end(tmp_path):
    """Kubernetes sends SIGTERM to the first process alone."""
    job = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "impute.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    kedro = tmp_path / "kedro"
    kedro.write_text("#!/bin/sh\ntrap 'echo ended; exit 1' TERM\necho begun\nsleep 60 & wait $!\n")
    kedro.chmod(0o755)
    with subprocess.Popen(
        [*container["command"], "run"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout.readline() == "begun\n"
        run.terminate()
        assert run.stdout.readline() == "ended\n"
        assert run.wait(10) != 0


def test_the_pods_have_a_share_each():
    spec = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "impute.yaml").read_text())["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    count = spec["completions"]
    assert spec["completionMode"] == "Indexed"
    assert f"--params=shard=$(JOB_COMPLETION_INDEX)/{count}" in container["args"]


@pytest.fixture
def dag():
    return ROOT / "deploy" / "airflow" / "slicefill_dag.py"


def test_the_dag_is_what_the_generator_writes_today(dag, tmp_path):
    if importlib.util.find_spec("kedro_airflow") is None:
        pytest.skip("kedro-airflow is not installed")
    command = [sys.executable, "-m", "kedro", "airflow", "create", "--group-by=namespace"]
    command += [f"--target-dir={tmp_path}", f"--jinja-file={dag.with_name('dag.j2')}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / dag.name).read_text() == dag.read_text()


def test_the_dag_compiles_and_has_a_task_per_pipeline_of_the_study(dag):
    tree = ast.parse(dag.read_text())
    compile(tree, dag.name, "exec")
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    study = pipelines()["study"].group_nodes_by("namespace")
    assert {group.name for group in study} <= texts


def test_airflow_takes_the_dag(dag, tmp_path, monkeypatch):
    if importlib.util.find_spec("airflow") is None:
        pytest.skip("Airflow is not installed: its versions of other packages are not ours")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(dag))
    assert not bag.import_errors
    assert set(bag.dags) == {"slicefill"}

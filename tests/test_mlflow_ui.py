"""What a subject sees who compares runs: a real server, two trainings, a real browser.

`SLICEFILL_SCREENSHOTS=docs/img` keeps the pictures that the documentation shows.
"""

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from .mlflow_server import free_port, tracking_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TRAINING = ("run", "--env=tiny", "--pipelines=synthesis")
NAMES = ("slice_imputation · synthesis · tiny ×4 S", "iia · synthesis · tiny ×4 S")
PATIENCE = 90_000  # ms
QUIET = """  // the page without the panel of an assistant
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine's PATH"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder, tiny_run, kedro):
    """A server with two trainings in it that differ by their variant."""
    project = folder / "project"
    left_out = shutil.ignore_patterns("06_models", "07_model_output", "mlflow")
    shutil.copytree(tiny_run[0], project, ignore=left_out)
    with tracking_server(folder, free_port()) as address:
        for variant in ("slice_imputation", "iia"):
            done = kedro(
                project,
                *TRAINING,
                f"--params=variant={variant}",
                SLICEFILL_TRACKING="on",
                MLFLOW_TRACKING_URI=address,
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        yield address


@pytest.fixture(scope="module")
def page(folder):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.add_init_script(QUIET)
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def keep(page, name, folder):
    """Take a picture of the page; among the documentation's pictures, if asked for."""
    wanted = os.environ.get("SLICEFILL_SCREENSHOTS")
    page.screenshot(path=Path(wanted or folder, f"mlflow_{name}.png"))


def the_runs(address):
    client = MlflowClient(address)
    number = client.get_experiment_by_name("slicefill").experiment_id
    return number, {run.info.run_name: run for run in client.search_runs([number])}


def test_the_table_of_runs_names_data_pipeline_and_method(server, page, folder):
    number, runs = the_runs(server)
    assert set(runs) == set(NAMES)
    page.goto(f"{server}/#/experiments/{number}?workflowType=machine_learning")
    for name in NAMES:
        page.get_by_text(name, exact=True).first.wait_for()
    keep(page, "runs", folder)


def test_the_compare_page_shows_both_runs_and_their_metrics(server, page, folder):
    number, runs = the_runs(server)
    ids = quote(json.dumps([runs[name].info.run_id for name in NAMES]))
    page.goto(f"{server}/#/compare-runs?runs={ids}&experiments={quote(json.dumps([number]))}")
    for shown in (*NAMES, "synthesis.variant"):
        page.get_by_text(shown, exact=True).first.wait_for()
    # A long table draws what is in sight: the first metrics.
    page.get_by_text(re.compile("^(train|validation)/")).locator("visible=true").first.wait_for()
    for section in page.get_by_text("Show diff only").all():
        section.click()
    page.get_by_text("synthesis.critic_width").wait_for(state="detached")  # the same in both
    page.get_by_text("Visualizations").click()  # folds the plots
    page.set_viewport_size({"width": 1500, "height": 1400})  # down to the metrics
    keep(page, "compare", folder)

"""The picture that kedro-viz draws: boxes, layers and previews, also in a real browser."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from slicefill.pipelines import comparison, study

from .conftest import ROOT
from .test_params import ENVIRONMENTS, pipelines

LAYERS = [  # from top to bottom
    "raw",
    "cases",
    "acquired",
    "imputation models",
    "imputed",
    "network input",
    "segmentation models",
    "predictions",
    "report",
]
WAY = ["ingestion", "anisotropization", "synthesis", "imputation", "evaluation"]
BOX = ".pipeline-node--modularPipeline"
BOXES_IN_ORDER = """([box, way]) => {  // they slide to their places after they appear
    const place = (element) => element.getBoundingClientRect().y;
    const boxes = [...document.querySelectorAll(box)].sort((a, b) => place(a) - place(b));
    return JSON.stringify(boxes.map((element) => element.textContent)) === JSON.stringify(way);
}"""
CHROMIUM = shutil.which("chromium")
COMPOSED = ("study", "comparison")


@pytest.fixture
def layers(configuration):
    """Layer by dataset."""

    def load(env):
        entries = configuration(env)["catalog"]
        return {
            name: (entry.get("metadata") or {}).get("kedro-viz", {}).get("layer")
            for name, entry in entries.items()
        }

    return load


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_dataset_has_a_layer(layers, env):
    found = layers(env)
    assert {name for name, layer in found.items() if layer not in LAYERS} == set()


@pytest.mark.parametrize("composed", [study, comparison], ids=COMPOSED)
def test_no_node_leads_from_a_lower_layer_to_a_higher(layers, composed):
    """With a circle among the layers, kedro-viz would show none of them."""
    depth = {name: LAYERS.index(layer) for name, layer in layers("base").items()}
    for node in composed.create_pipeline().nodes:
        above = [depth[name] for name in node.inputs if name in depth]
        assert max(above, default=0) <= min(depth[name] for name in node.outputs), node.name


def test_a_pipeline_is_one_box_of_its_name():
    for name, pipeline in pipelines().items():
        boxes = {node.namespace for node in pipeline.nodes}
        if len(boxes) > 1:
            assert boxes <= set(pipelines()) - set(COMPOSED)
        else:
            assert boxes == {name}
        assert not {
            one
            for one in pipeline.datasets()
            if "." in re.sub("^params:(imputation|segmentation)[.]", "", one)
        }  # none is renamed


def free_port():
    """Find one below 49152: above, kedro-viz takes none."""
    for port in random.sample(range(20_000, 49_000), 50):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    return pytest.skip("no free port on 127.0.0.1")


@pytest.fixture
def made(tiny_run, tmp_path):
    """A copy of the finished project: kedro-viz writes into it."""
    return shutil.copytree(tiny_run[0], tmp_path / "project")


@pytest.fixture
def viz(made, tmp_path):
    """Address of `kedro viz run` on the loopback."""
    port = free_port()
    command = ["viz", "run", "--no-browser", "--env=tiny", f"--port={port}"]
    quiet = {"PYTHONPATH": str(ROOT / "src"), "DO_NOT_TRACK": "1"}
    address, log = f"http://127.0.0.1:{port}", tmp_path / "viz.log"
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "kedro", *command],
            cwd=made,
            env={**os.environ, **quiet},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        wait_for(f"{address}/api/main", server, log)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


def wait_for(url, server, log):
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(URLError, ConnectionError, TimeoutError), urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    pytest.fail(f"kedro viz did not come up: {log.read_text()[-2000:]}")


@pytest.fixture
def page():
    """A page of headless Chromium; its complaints are in `page.complaints`."""
    if CHROMIUM is None:
        pytest.skip("needs the browser `chromium` on the PATH")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1300, "height": 1000})
        opened.complaints = []
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("console", lambda said: opened.complaints.extend(errors(said)))
        yield opened
        browser.close()


def errors(said):
    """Errors of the page; its font, which comes from elsewhere, need not be there."""
    return [said.text] if said.type == "error" and "127.0.0.1" in said.location["url"] else []


@pytest.mark.server
def test_the_page_shows_boxes_layers_and_an_imputed_volume(viz, page):
    page.goto(viz)
    page.wait_for_selector(BOX)
    page.wait_for_function(BOXES_IN_ORDER, arg=[BOX, WAY])
    names = [layer.text_content() for layer in page.query_selector_all(".pipeline-layer-name")]
    assert names == [layer for layer in LAYERS if layer in names]
    assert {"raw", "acquired", "imputed", "report"} <= set(names)
    page.locator("[data-node-fullname=imputed_cases]").dispatch_event("click")
    picture = page.locator("img[src^='data:image/png;base64']")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 500
    assert page.complaints == []


@pytest.mark.server
def test_what_is_not_made_yet_leaves_the_page_whole(viz, page):
    """The comparison was not run: its predictions have nothing to show."""
    page.goto(f"{viz}/?pid=comparison")
    page.wait_for_selector(BOX)
    page.locator("[data-node-fullname=predictions]").dispatch_event("click")
    page.get_by_text("Dataset Type:").wait_for()
    assert page.locator("img[src^='data:image']").count() == 0
    assert page.complaints == []


@pytest.mark.server
def test_the_static_site_holds_no_data_unless_asked_for(made, kedro):
    done = kedro(made, "viz", "build", KEDRO_ENV="tiny")
    nodes = [json.loads(path.read_text()) for path in (made / "build/api/nodes").iterdir()]
    assert len(nodes) > 40, done.stdout[-2000:]
    assert [node for node in nodes if node.get("preview") is not None] == []
    assert any((node.get("filepath") or "").endswith("/imputed") for node in nodes)

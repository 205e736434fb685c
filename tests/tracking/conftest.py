"""What the tests of tracking share: a store, and a run in it."""

import pytest
from mlflow import MlflowClient

from slicefill import tracking
from slicefill.tracking import calls, channel, runs


@pytest.fixture
def untracked(monkeypatch):
    """No store and no run but the test's own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SLICEFILL_TRACKING", raising=False)
    for state in (
        runs._open,
        runs._shelf,
        runs._children,
        runs._failed,
        runs._locks,
        calls._ids,
        channel._next_try,
    ):
        state.clear()
    yield
    runs._open.clear()  # nothing is left to close when the interpreter ends


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The address of a store that is set up once: that takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def start(untracked, store, tmp_path, monkeypatch):
    """Start a run; what is logged can be asked of the client that comes with it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def start_run(**options):
        tags = {"dataset": "tiny", "method": "iia"}
        run = tracking.start_run(tmp_path, "tiny study", tags, **options)
        return run, MlflowClient(store)

    return start_run

"""MLflow's servers in processes of their own, on loopback and a free port."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_PATIENCE = 120  # seconds until a server must answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(*arguments: str, port: int, health: str = "/health") -> Iterator[str]:
    """Run `mlflow <arguments> --host 127.0.0.1 --port <port>` and yield its address."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1"]
    # `mlflow models serve` starts another program of the same environment by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", "PATH": path}
    with TemporaryFile("w+") as output:  # a pipe that nobody reads would impute and stop the server
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env={**os.environ, **quiet},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its workers end with it
        )
        try:
            _wait_for(address + health, process, output)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def tracking_server(folder: Path, port: int) -> Iterator[str]:
    """Run a tracking server that keeps everything in a folder."""
    store = ("--backend-store-uri", f"sqlite:///{folder / 'server.db'}")
    files = ("--artifacts-destination", str(folder / "files"))
    with serving("server", *store, *files, "--workers", "1", port=port) as address:
        yield address


def _wait_for(url: str, process: subprocess.Popen[bytes], output: IO[str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            output.seek(0)
            raise AssertionError(output.read()[-3000:])
        try:
            urllib.request.urlopen(url, timeout=5)
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"no answer from {url}")

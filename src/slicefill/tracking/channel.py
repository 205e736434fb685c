"""Channel to a tracking server; while it is unavailable, calls wait in a file, the outbox."""

import hashlib
import json
import logging
import re
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from slicefill.tracking.calls import Call, UnknownRunError, perform

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)
_PAUSE = 30.0  # seconds until a server that did not answer is tried again
_MALFORMED = 400  # HTTP: the call itself is wrong
_AWAY = (401, 403, 408, 429)  # HTTP, as is 500 and above: perhaps it takes the call later
_next_try: dict[str, float] = {}  # by address of a server that is away, monotonic seconds


@cache
def open_client(uri: str) -> "MlflowClient":
    """Return the client of a server or store."""
    from mlflow import MlflowClient

    return MlflowClient(uri)


@dataclass(frozen=True)
class Channel:
    """A server or store, shared by all processes of this machine.

    Attributes:
        uri: Its address.
        folder: Holds the outbox.
    """

    uri: str
    folder: Path

    @property
    def outbox(self) -> Path:
        """The file of calls that were not sent yet: one JSON object per line, oldest first."""
        address = without_password(self.uri)
        host = re.sub(r"[^0-9A-Za-z]+", "_", urlsplit(address).netloc) or "local"
        checksum = hashlib.sha256(address.encode()).hexdigest()[:6]  # several may share a host
        return self.folder / f"outbox_{host}_{checksum}.jsonl"

    def send(self, call: Call) -> None:
        """Send a call, or put it into the outbox if the server is away or other calls wait there.

        Raises:
            mlflow.exceptions.MlflowException: If the call is malformed, as a metric named `a*`.
        """
        resting = time.monotonic() < _next_try.get(self.uri, 0.0)
        if resting or not self.deliver() or not self._try(call):
            self._keep(call)

    def deliver(self) -> bool:
        """Send the calls in the outbox, oldest first; return whether it is empty."""
        if not self.outbox.exists():
            return True
        with self._lock():
            if not self.outbox.exists():  # another process was faster
                return True
            calls = _read(self.outbox)
            sent = 0
            while sent < len(calls) and self._try(calls[sent], late=True):
                sent += 1
            _write(self.outbox, calls[sent:])
        for call in calls[:sent]:
            _drop_copy(call)
        if sent:
            logger.info("tracking: %d call(s) from the outbox were sent", sent)
        return sent == len(calls)

    def retry_now(self) -> None:
        """Contact the server again at the next call, without the pause."""
        if self.uri in _next_try:
            _next_try[self.uri] = 0.0

    def _try(self, call: Call, *, late: bool = False) -> bool:
        """Perform a call; False if the server is away. A refused call is logged and dropped."""
        from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException

        try:
            perform(open_client(self.uri), call)
        except UnknownRunError:
            logger.warning("tracking: the server no longer has the run; %s is lost", call["verb"])
        except FileNotFoundError as error:  # an artifact; it would block all later calls
            logger.warning("tracking: %s is lost: %s", call["verb"], error)
        except (MlflowException, OSError) as error:
            status = ERROR_CODE_TO_HTTP_STATUS.get(getattr(error, "error_code", ""), 500)
            if status == _MALFORMED and not late:
                raise
            if status >= 500 or status in _AWAY:
                self._rest(error)
                return False
            logger.warning("tracking: the server refuses %s: %s", call["verb"], error)
        if _next_try.pop(self.uri, None) is not None:
            logger.info("tracking: the server answers again")
        return True

    def _rest(self, error: Exception) -> None:
        if self.uri not in _next_try:
            logger.warning(
                "tracking: the server does not answer (%s…); the run goes on, and what it logs is "
                "kept in %s until the server is back or the next run starts",
                without_password(str(error))[:150],
                self.outbox,
            )
        _next_try[self.uri] = time.monotonic() + _PAUSE

    def _keep(self, call: Call) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if call["verb"] == "artifact":  # later runs replace the file
            call = copy_artifact(call, self.folder / "outbox_files")
            call = {**call, "content": {**call["content"], "copy": True}}
        with self._lock(), self.outbox.open("a") as file:
            file.write(json.dumps(call) + "\n")

    def _lock(self) -> FileLock:
        return FileLock(self.outbox.with_suffix(".lock"))


def without_password(text: str) -> str:
    """Take user and password out of addresses.

    Example:
        >>> without_password("no answer from https://me:secret@host/a")
        'no answer from https://host/a'
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def _read(path: Path) -> list[Call]:
    calls = []
    for line in path.read_text().splitlines():
        with suppress(json.JSONDecodeError):  # the last line of a process that was killed
            calls.append(json.loads(line))
    return calls


def _write(path: Path, calls: list[Call]) -> None:
    if not calls:
        path.unlink()
        return
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(call) + "\n" for call in calls))
    partial.replace(path)


def copy_artifact(call: Call, folder: Path) -> Call:
    """Copy the file or folder that a call names, and name the copy instead."""
    source = Path(call["content"]["path"])
    copy = folder / uuid.uuid4().hex / source.name
    copy.parent.mkdir(parents=True)
    if source.is_dir():
        shutil.copytree(source, copy)
    else:
        shutil.copy(source, copy)
    return {**call, "content": {**call["content"], "path": str(copy)}}


def _drop_copy(call: Call) -> None:
    if call["content"].get("copy"):
        shutil.rmtree(Path(call["content"]["path"]).parent, ignore_errors=True)

"""Calls of a run that has made nothing yet: they are sent once it does, or never."""

from pathlib import Path
from tempfile import TemporaryDirectory

from slicefill.tracking.calls import Call
from slicefill.tracking.channel import Channel, copy_artifact


class Shelf:
    """Keeps calls in their order, with copies of the files that they name."""

    def __init__(self) -> None:
        self._calls: list[tuple[Channel, Call]] = []
        self._folder = TemporaryDirectory()

    def put(self, channel: Channel, call: Call) -> None:
        """Keep a call."""
        if call["verb"] == "artifact":  # whoever wrote the file may remove it
            call = copy_artifact(call, Path(self._folder.name))
        self._calls.append((channel, call))

    def clear(self, *, send: bool) -> None:
        """Send every call, or drop them all."""
        for channel, call in self._calls if send else ():
            channel.send(call)
        self._calls.clear()
        self._folder.cleanup()

"""What the tests of the executors have done in workers: apart, so that these start quickly."""

import os
import signal
from pathlib import Path


def square(name, number):
    if number < 0:
        raise OneWayError(name, number)
    return name, number**2


class OneWayError(ValueError):
    """Pickles well and cannot be read back: it would break a pool of processes."""

    def __init__(self, name, number):
        super().__init__(f"{name} is {number}")


def die(name, flag):
    """Be killed, as for want of memory; with a flag only the first time."""
    if flag is None or (isinstance(flag, Path) and not flag.exists()):
        if flag:
            flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.environ["OMP_NUM_THREADS"]


def unreadable():
    raise RuntimeError("made on another version")


class Unreadable:
    def __reduce__(self):
        return unreadable, ()


def note(file):
    with file.open("a") as opened:
        opened.write("x")
    return "ready"

"""What the tests of lost workers have done in them: apart, so that these start quickly."""

import os
import signal
from functools import partial
from multiprocessing import parent_process

from slicefill.imputation.imputers import classical_imputer
from slicefill.io import scan_files


def load(flag, params):
    """Prepare linear interpolation in a worker that is killed, once, after it wrote a file."""
    if parent_process() is not None:
        scan_files.write_scan = partial(write_and_die, flag, scan_files.write_scan)
    return classical_imputer("linear", params)


def write_and_die(flag, write, volume, path):
    write(volume, path)
    if not flag.exists():
        flag.write_text(path.name)
        os.kill(os.getpid(), signal.SIGKILL)

"""Executors: the same work on many items, serially, in processes, or on a Dask cluster."""

CASES_LEFT_OUT = 3
"""Exit status of a command or a run that finished, but not for every case."""

"""Executors: the same work on many items, serially, in processes, or on a Dask cluster."""

"""The same work on many items: in turn, in processes, or on the workers of Dask."""

"""Kedro pipelines, one package each: thin nodes over the library."""

"""Kedro datasets: how results lie in files."""

"""Kedro adapters: they know files, not science."""

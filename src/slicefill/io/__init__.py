"""Case folders and the storage under them, without Kedro."""

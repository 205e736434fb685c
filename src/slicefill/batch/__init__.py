"""Scans in, files out: what the command line does with each scan."""

"""Volumes made by rule, for networks that have to work on scans of any kind."""

"""Simulated volumes: subsampled from isotropic ones, virtual subjects, procedural volumes."""

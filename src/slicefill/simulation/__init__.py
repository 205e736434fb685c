"""Volumes that are made: subsampled from isotropic ones, virtual subjects, procedural volumes."""

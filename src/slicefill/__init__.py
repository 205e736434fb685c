"""Slicefill: learned slice imputation for anisotropic 3D medical scans."""

__version__ = "0.1.0"

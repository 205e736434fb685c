"""Segmentation networks: what they train on, how, and what they predict."""

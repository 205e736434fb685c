"""Conventional augmentation of training patches."""

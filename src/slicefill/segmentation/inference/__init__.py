"""Inference wrappers: from a network to a predictor on scans."""

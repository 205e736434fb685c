"""Slice Imputation (Wu et al. 2022): networks, losses, training and use."""

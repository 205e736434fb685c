"""Tuning: which λ and training parameters impute intervals best, found by Optuna."""

"""Tuning: which λ and training parameters fill gaps best, found by Optuna."""

"""The shipped weights after they have learned from the scans that are imputed."""

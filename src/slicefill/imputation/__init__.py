"""Imputing one case: from acquired slices to a denser grid, its record and its verification."""

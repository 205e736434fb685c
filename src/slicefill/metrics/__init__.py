"""How good synthetic slices and their labels are, and how sure we are of it."""

"""Labels of every n-th slice of a complete scan, propagated to the slices between."""

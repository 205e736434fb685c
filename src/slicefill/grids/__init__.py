"""Views on a grid: cubic voxels for registration, the grid of the result for fusion."""

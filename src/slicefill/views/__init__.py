"""Several views of one subject: aligned, sampled on one grid, fused."""

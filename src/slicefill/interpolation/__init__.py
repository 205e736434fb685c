"""Ways to fill the gaps between slices, behind one signature."""

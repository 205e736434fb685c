"""How far synthetic slices can be believed: expected error, calibrated."""

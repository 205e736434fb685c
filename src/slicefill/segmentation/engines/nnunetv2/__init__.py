"""The nnU-Net v2 library as an engine."""

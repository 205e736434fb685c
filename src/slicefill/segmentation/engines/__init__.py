"""The segmentation engines: one file or package per kind."""

"""Raw scans in, checked cases out: layouts, readers, checks, manifest, splits."""

"""Super-resolution baselines that raise the resolution across slices: EDSR, RCAN, ESRGAN."""

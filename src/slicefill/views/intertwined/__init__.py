"""SuperMask's second phase: a network that segments and one that registers teach each other."""

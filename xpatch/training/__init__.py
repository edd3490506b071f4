"""Training: sets that do not leak, sources for loaders, streaming merges, features."""

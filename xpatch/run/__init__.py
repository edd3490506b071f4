"""Verbs over many patches: apply a function, walk in batches, write."""

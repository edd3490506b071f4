"""Patches: cut from a field, told apart, described, and merged again."""

"""Gather and scatter on arrays; nothing here knows of coordinates or specification objects."""

"""Catalogs: tables of files, one row each with a footprint and a date."""

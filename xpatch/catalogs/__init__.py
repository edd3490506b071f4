"""Catalogs: tables of many files, and fields over them."""

"""Cuts, decisions and the export: what is kept of each language, and why the rest is not."""

"""Doors: flags in, views out, errors to exit codes; the only room that prints."""

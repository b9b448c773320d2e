"""Bytes below the format: varints and text, atomic files, sources to read from."""

"""Bytes below the format: varints, text and records, atomic files, sources."""

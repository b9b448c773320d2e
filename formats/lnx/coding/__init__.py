"""Symbols <-> payload: integer probability tables and the range coder."""

"""Bytes -> container. All that parses a hostile file, and never imports `lnx.write`."""

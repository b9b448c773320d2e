"""Compressors of trained networks, side by side: see `__main__`."""

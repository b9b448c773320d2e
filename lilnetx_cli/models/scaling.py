"""Widths of networks in percent of what their papers have."""


def scaled(width: int, percent: int) -> int:
    """Return a share of a width, rounded to the nearest, at least 1."""
    return max(1, (width * percent + 50) // 100)

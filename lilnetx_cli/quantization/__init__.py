"""Finished weights -> integers: steps, bases, and rounding that knows the price."""

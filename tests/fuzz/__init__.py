"""Damaged files and odd arguments, each drawn from its seed. See `__main__`."""

"""Files for other tools, one form a module."""

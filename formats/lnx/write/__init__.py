"""Container -> bytes. Never imports `lnx.read`."""

"""What a container holds, and the arithmetic that rebuilds weights from it."""

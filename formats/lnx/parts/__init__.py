"""The parts of a file, one module each, with its writer and its reader."""

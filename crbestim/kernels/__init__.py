"""Compiled loops: arrays in, arrays out, nothing of the rest of the package."""

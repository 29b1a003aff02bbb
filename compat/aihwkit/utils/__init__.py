"""Tools beside the simulation."""

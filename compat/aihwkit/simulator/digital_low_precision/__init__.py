"""Digital numbers of a few bits."""

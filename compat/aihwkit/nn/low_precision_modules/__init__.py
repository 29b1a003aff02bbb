"""Digital layers whose weights and outputs are rounded."""

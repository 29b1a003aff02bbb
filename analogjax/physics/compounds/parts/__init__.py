"""Parts of compounds."""

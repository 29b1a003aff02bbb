"""What aitoolbox lacks: whole files with checksums, safe loading, and a list of what was saved."""

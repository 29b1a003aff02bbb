"""The utilities that aitoolbox's savers use."""

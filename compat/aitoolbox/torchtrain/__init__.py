"""The few names of aitoolbox's training loop that programs derive from; the loop itself is not part of this."""

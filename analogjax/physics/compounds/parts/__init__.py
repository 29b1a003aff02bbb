"""What compounds are made of."""

"""Experiments to protobuf and back."""

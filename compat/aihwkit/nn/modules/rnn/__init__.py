"""Recurrent layers for torch."""

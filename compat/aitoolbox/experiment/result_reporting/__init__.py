"""Plots, histories and hyperparameters as files."""

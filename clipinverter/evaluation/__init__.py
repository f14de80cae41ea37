"""Measuring what the models do: numbers and contact sheets, each by one command."""

"""Weights: building networks, and reading, checking, converting and downloading their files."""

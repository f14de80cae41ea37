"""Evaluation of the models: numbers and contact sheets, each by one command."""

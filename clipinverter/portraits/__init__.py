"""The synthetic portraits: people as data, rendered by the project itself."""

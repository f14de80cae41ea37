"""Synthetic portraits: scenes as data, their renderer and captions, and their latent space W."""

"""Preparation of StyleCLIP's methods: latent mappers and channel relevance."""

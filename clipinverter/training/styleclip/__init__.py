"""What StyleCLIP's methods need: mappers and channel relevance."""

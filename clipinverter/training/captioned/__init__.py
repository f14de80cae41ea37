"""The recipe for pictures with captions, in any domain."""

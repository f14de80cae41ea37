"""The recipe of the paper: adapter and remapper from pictures with captions, in any domain."""

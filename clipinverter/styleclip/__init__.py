"""Moved: the methods are in `clipinverter.methods`, their training in `clipinverter.training.styleclip`."""

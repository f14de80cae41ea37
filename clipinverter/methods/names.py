"""Titles of the methods, in the order in which they run: the slow one last. Needs no PyTorch."""

TITLES = {
    "clipinverter": "CLIPInverter",
    "mapper": "StyleCLIP mapper",
    "direction": "StyleCLIP global direction",
    "optimization": "StyleCLIP optimisation",
}

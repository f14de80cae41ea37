"""What people call the methods, in the order in which they are run: the slow one is last. Needs no PyTorch."""

TITLES = {
    "clipinverter": "CLIPInverter",
    "mapper": "StyleCLIP mapper",
    "direction": "StyleCLIP global direction",
    "optimization": "StyleCLIP optimisation",
}

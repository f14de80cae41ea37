"""The command `python -m clipinverter.styleclip` under its earlier name."""

import sys

from clipinverter.training.styleclip.__main__ import main

if __name__ == "__main__":
    sys.exit(main())

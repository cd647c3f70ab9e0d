"""The program `mftma`, which reads files: ``python -m mftma analyze acts.npz --labels labels.npy``."""

from __future__ import annotations

import sys

from . import _mftma


def main() -> int:
    """Run the program on the arguments of the command line and give its exit code."""
    return _mftma.run_program(["mftma", *sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())

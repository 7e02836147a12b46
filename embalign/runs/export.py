"""The former place of `embalign export`: `python -m embalign.runs.export` still does the same."""

import sys

from embalign.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))

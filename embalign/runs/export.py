"""The former place of :mod:`embalign.deploy.map`: `python -m embalign.runs.export` still exports a map."""

from embalign.deploy.map import main

if __name__ == "__main__":
    main()

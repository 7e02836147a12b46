"""The systems that the suite is made for."""

import os

from embalign.errors import PlatformError


def refuse_other_systems() -> None:
    """Raise PlatformError on Windows, where nothing was ever tried.

    Files are renamed over open ones there, and processes probed and ended by signals, as POSIX has it.
    """
    if os.name != "posix":
        raise PlatformError("embalign runs on Linux and macOS; on Windows use it in WSL (wsl --install)")

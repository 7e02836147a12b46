"""A table of what timings have measured, at the end of pytest's summary."""

import pytest


class Summary:
    """A section with the lines of a table of what was `measured`, if anything was."""

    def __init__(self, title, lines, measured):
        self.title, self.lines, self.measured = title, lines, measured

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter):
        """Print it."""
        if self.measured:
            terminalreporter.section(self.title)
            terminalreporter.line("\n".join(self.lines(self.measured)))


def collect(request, title, lines, measured):
    """Return `measured`, empty, to be filled by the tests; `lines` makes the table of it in the end."""
    request.config.pluginmanager.register(Summary(title, lines, measured))
    return measured

"""One HTML page of what was run on a pair: read from its reports, self-contained, without a script."""

"""How far answers without labels agree with those by labels, as text."""

import pandas as pd
from texts import markdown


def label_free_tables(table: pd.DataFrame) -> str:
    """Return the comparison as Markdown: one line a pair and deployment."""
    return table.to_string() + "\n"

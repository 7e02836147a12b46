"""Alias of :mod:`embalign.pairs` for code written before pairs had a package of their own."""

from embalign.pairs.config import find_pair, read_config
from embalign.pairs.pair import Pair, check_pair, load_pair, pair_digest
from embalign.pairs.provenance import file_digest

__all__ = ["Pair", "check_pair", "file_digest", "find_pair", "load_pair", "pair_digest", "read_config"]

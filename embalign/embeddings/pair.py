"""The former place of :mod:`embalign.pairs.pair`."""

from embalign.pairs.pair import Pair, check_pair, file_digest, find_pair, load_pair, pair_digest, read_config

__all__ = ["Pair", "check_pair", "file_digest", "find_pair", "load_pair", "pair_digest", "read_config"]

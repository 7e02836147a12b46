"""Temporary."""

import numpy as np
from embalign.lazy import lazy

CountVectorizer = lazy("sklearn.feature_extraction.text").CountVectorizer
NEAR_DUPLICATE_JACCARD = 0.8


def near_duplicates(texts, pool):
    vectorizer = CountVectorizer(binary=True, token_pattern=r"(?u)\w+").fit([*texts, *pool])
    left, right = vectorizer.transform(texts), vectorizer.transform(pool)
    shared = (left @ right.T).toarray()
    union = left.sum(axis=1) + right.sum(axis=1).T - shared
    return np.asarray((shared >= NEAR_DUPLICATE_JACCARD * np.maximum(union, 1)).any(axis=1)).ravel()

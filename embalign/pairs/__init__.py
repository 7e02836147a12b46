"""A pair on disk: models, corpus, embeddings, and the fixed held-out split."""

import numpy as np
from numpy.typing import NDArray

# Embeddings, one row per item: (n, d).
Vectors = NDArray[np.float32]

"""What the gate experiment judges, fixed before any run: risk targets, scores, loss terms, margins of steadiness."""

from embalign.deploy import RISK_TARGETS
from embalign.verdicts.metrics import RETRIEVAL

__all__ = ["ARM_OF", "RISK_TARGETS", "SCORES", "SPREADS"]

# What orders outputs. The oracle needs the teacher: it is shown, never deployed.
SCORES = {"top1": "top-1 similarity", "margin": "margin", "oracle": "cosine to teacher (oracle)"}
# The gate's name of a loss term -> experiment 2's arm. `amplitude` is the memo's; the others are its controls.
ARM_OF = {"none": "baseline", "amplitude": "spectral", "scrambled": "signed_permutation", "norm": "norm_only"}
# Styles: a difference of the standard deviation over surface styles within this does not matter.
SPREADS = {f"spread_{name}": 0.005 for name in (RETRIEVAL, "mrr", "accept_top1", "accept_margin")}

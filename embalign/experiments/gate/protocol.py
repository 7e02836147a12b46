"""What the gate experiment judges, fixed before any run: uses, risk targets, scores, loss terms, margins."""

from embalign.deploy import RISK_TARGETS
from embalign.evaluation.deployment import DEPLOYMENTS, DRAFT_ONLY, QUERY_ADAPTER
from embalign.verdicts.metrics import RETRIEVAL

__all__ = ["ARM_OF", "CASCADE_LEVELS", "INDEXES", "RISK_TARGETS", "SCORES", "SPREADS", "STUDIED", "USES"]

# What is searched: every item, or those that no map has seen. The query's own item is left out of both.
WHOLE, ALONE = "whole corpus", "held-out items"
INDEXES = (WHOLE, ALONE)
# Deployment and index of the exported map, the primary first; and those of maps by share of data and by loss term.
USES = tuple((deployment, index) for deployment in DEPLOYMENTS for index in INDEXES)
STUDIED = ((QUERY_ADAPTER, WHOLE), (DRAFT_ONLY, ALONE))
# What orders outputs. The oracle needs the teacher: it is shown, never deployed.
SCORES = {"top1": "top-1 similarity", "margin": "margin", "oracle": "cosine to teacher (oracle)"}
# How queries are routed to the teacher besides by score.
ROUTES = {"random": "random routing", "oracle": "oracle routing"}
# Shares of the teacher's nDCG@10 that the cascade is asked for, the one of the headline first.
CASCADE_LEVELS = (0.95, 0.90, 0.99)
# The gate's name of a loss term -> experiment 2's arm. `amplitude` is the memo's; the others are its controls.
ARM_OF = {"none": "baseline", "amplitude": "spectral", "scrambled": "signed_permutation", "norm": "norm_only"}
# Styles: a difference of the standard deviation over surface styles within this does not matter. Each deployment is a
# family of its own; the headline is that of the query adapter.
SPREADS = {
    QUERY_ADAPTER: {
        f"query_adapter_spread_{name}": 0.005 for name in ("ndcg_at_10", RETRIEVAL, "accept_top1", "accept_margin")
    },
    DRAFT_ONLY: {f"spread_{name}": 0.005 for name in (RETRIEVAL, "mrr", "accept_top1", "accept_margin")},
}


def prefix(deployment: str, index: str) -> str:
    """Return what the columns of a use begin with: nothing for draft only on the held-out items, as first published.

    >>> prefix("query_adapter", WHOLE), prefix("query_adapter", ALONE), prefix("draft_only", ALONE)
    ('query_adapter_', 'query_adapter_held_out_', '')
    """
    if (deployment, index) == (DRAFT_ONLY, ALONE):
        return ""
    return f"{deployment}_" if index == WHOLE else f"{deployment}_held_out_"

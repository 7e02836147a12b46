"""How far answers without labels agree with those by labels, as text."""

import pandas as pd
from texts import markdown

WEAK = 0.3  # nDCG@10 of the teacher's own search by labels, below which it finds little of what is relevant


def label_free_tables(table: pd.DataFrame) -> str:
    """Return the comparison as Markdown: what it comes to, and one line a pair and deployment."""
    said = int(table["maps"].sum())
    parts = [
        "# What answers without labels say of those with labels",
        f"**{_headline(table)}** Labels and judgements of the five shipped pairs are dropped, so that relevant is what "
        f"the teacher itself finds and clusters of its vectors are held out. {int(table['maps'].max())} maps a pair "
        "(ridge on 6 to 100 % of the pairs, at random and densest first, with three penalties; Procrustes; maps "
        "trained for few, many and all steps, on an eighth of the pairs, with MSE and the spectral loss; untrained) "
        "are judged both ways, each in three deployments.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/label_free.py\n```",
        f"- {_ordered(table)}\n- {_answered(table, said)}\n- {_sized(table)}\n- {_chosen(table)}\n- {_learned(table)}",
        "So without labels a report says how well a map stands in for its teacher, and no more. Trust it for the order "
        "of maps that are fitted on the teacher's vectors of the same texts, and for amounts, if the teacher is known "
        "to be good at the task. Whether to use a map at all takes labels or judgements of some queries.",
        _table(table),
        "- Teacher: nDCG@10 of its own search by labels or judgements; without them it is 1 by construction.\n"
        "- Order of maps: Spearman's rank correlation between retention of nDCG@10 by labels or judgements and nDCG@10 "
        "of the teacher's own top 10. Own splits: each as a user would have it, maps fitted and queries asked in a "
        "split of its own. Same maps: those fitted for the labels, on the same held-out queries. In brackets: 95 % "
        "bootstrap intervals over groups. Equal gains: the same if the teacher's tenth counted as its first.\n"
        "- Against no map: of how many maps both say the same (better, worse, not shown; one-sided tests at 5 % over "
        "groups), and of how many the opposite.\n"
        "- Best map loses: retention by labels of the best map, minus that of the map that is best without them.\n"
        "- Enough: pairs that keep 95 % of the gain of ridge over the untrained map, interval by interpolation.",
    ]
    return "\n\n".join(parts) + "\n"


def _headline(table: pd.DataFrame) -> str:
    low, high = table["rho"].min(), table["rho"].max()
    opposite, said = int(table["opposite"].sum()), int(table["maps"].sum())
    return (
        f"They agree only in part: the two order maps by a rank correlation between {low:.2f} and {high:.2f} (median "
        f"{table['rho'].median():.2f}), and of {said} answers to whether a map beats no map "
        f"{100 * table['same answer'].sum() / said:.0f} % are the same and {100 * opposite / said:.0f} % the opposite."
    )


def _ordered(table: pd.DataFrame) -> str:
    good = table[table["teacher by labels"] >= WEAK]["rho"]
    weak = table[table["teacher by labels"] < WEAK]["rho"]
    return (
        f"Order of maps: where the teacher itself has an nDCG@10 of {WEAK:g} or more by labels, the correlation is "
        f"{_range(good)}; where it has less, {_range(weak)}."
    )


def _answered(table: pd.DataFrame, said: int) -> str:
    labels, teacher = int(table["better by labels"].sum()), int(table["better by teacher"].sum())
    return (
        f"Against no map: {labels} of {said} maps are better by labels, {teacher} by the teacher. The raw draft often "
        "finds what is relevant by another way than the teacher, which counts against it where the teacher judges."
    )


def _sized(table: pd.DataFrame) -> str:
    known = table["overlap"].dropna()
    none = table["kind by labels"].eq("no_gain").eq(table["kind by teacher"].eq("no_gain"))
    return (
        f"Enough: both ways show a gain, or none, in {int(none.sum())} of {len(table)} rows, and where both do, the "
        f"intervals of what is enough overlap in {int(known.astype(bool).sum())} of {len(known)}."
    )


def _chosen(table: pd.DataFrame) -> str:
    lost = table["chosen loses"]
    return (
        f"Choosing a map without labels costs {_range(lost)} of retention by labels (median {lost.median():.2f}); "
        f"nothing in {int((lost < 0.005).sum())} of {len(table)} rows."
    )


def _learned(table: pd.DataFrame) -> str:
    known = table.dropna(subset=["queries by labels"])
    turned = known[
        (known["query_document by labels"] > known["queries by labels"])
        & (known["query_document by teacher"] < known["queries by teacher"])
    ]
    text = (
        "Ridge from a query to the teacher's vector of its relevant document, which is not among the maps above, by "
        "judgements and by the teacher against ridge from a query to the teacher's vector of the query:"
    )
    if turned.empty:
        return f"{text} both say the same in all {len(known)} rows."
    most = turned.loc[(turned["queries by teacher"] - turned["query_document by teacher"]).idxmax()]
    return (
        f"{text} in {len(turned)} of {len(known)} rows it is better by judgements and worse by the teacher, most so on "
        f"{most['pair']} as {most['deployment']}: retention {most['query_document by labels']:.2f} instead of "
        f"{most['queries by labels']:.2f}, and by the teacher {most['query_document by teacher']:.2f} instead of "
        f"{most['queries by teacher']:.2f}. What is learned from judgements can look like a loss without them."
    )


def _range(values: pd.Series) -> str:
    return f"{values.min():.2f} to {values.max():.2f}" if len(values) else "not known"


def _table(table: pd.DataFrame) -> str:
    def between(row: pd.Series, name: str) -> str:
        return f"{row[name]:.2f} ({row[f'{name} low']:.2f} to {row[f'{name} high']:.2f})"

    def enough(row: pd.Series, by: str) -> str:
        low, high = row[f"enough by {by} low"], row[f"enough by {by} high"]
        return str(row[f"kind by {by}"]).replace("_", " ") if pd.isna(low) else f"{low:.0f} to {high:.0f}"

    lines = [
        {
            "pair": row["pair"],
            "deployment": row["deployment"],
            "teacher": f"{row['teacher by labels']:.3f}",
            "order of maps, own splits": between(row, "rho"),
            "same maps": between(row, "rho same"),
            "equal gains": f"{row['rho equal gains']:.2f}",
            "same against no map": f"{row['same answer']} of {row['maps']}",
            "opposite": f"{row['opposite']}",
            "best map loses": f"{row['chosen loses']:.3f}",
            "enough by labels": enough(row, "labels"),
            "by the teacher": enough(row, "teacher"),
        }
        for _, row in table.iterrows()
    ]
    return markdown(pd.DataFrame(lines))

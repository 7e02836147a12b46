"""The families that a bake-off compares, by name. Each has as many tries: what differs is not the effort."""

from embalign.maps import kernel, linear, trained
from embalign.maps.training import TRIES, Family

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
FAMILIES = {
    family.name: family
    for family in (
        Family(
            "ridge",
            "ridge",
            "Hoerl and Kennard 1970",
            tuple({"penalty": penalty} for penalty in PENALTIES),
            linear.fit_ridge,
        ),
        Family(
            "affine",
            "ridge with intercept",
            "Hoerl and Kennard 1970",
            tuple({"penalty": penalty, "centred": centred} for penalty in (1e-2, 1e-1, 1.0) for centred in (0, 1)),
            linear.fit_affine,
        ),
        Family(
            "procrustes",
            "orthogonal Procrustes",
            "Schoenemann 1966",
            tuple({"scaling": scaling, "centred": centred} for scaling in (0, 1, 2) for centred in (0, 1)),
            linear.fit_procrustes,
        ),
        Family(
            "deshrunk",
            "deshrunk ridge",
            "spread of each principal direction of the outputs as the teacher's",
            tuple({"penalty": penalty} for penalty in PENALTIES),
            linear.fit_deshrunk,
        ),
        Family(
            "reversed",
            "reversed ridge",
            "Shigeto et al. 2015",
            tuple({"penalty": penalty} for penalty in PENALTIES),
            linear.fit_reversed,
        ),
        Family(
            "lowrank",
            "reduced-rank regression",
            "Izenman 1975",
            tuple(
                {"share": share, "penalty": 0.1, "centred": centred}
                for share in (0.125, 0.25, 0.5)
                for centred in (0, 1)
            ),
            linear.fit_lowrank,
        ),
        Family(
            "kernel",
            "kernel ridge",
            "Saunders et al. 1998",
            tuple(
                {"width": width, "penalty": penalty, "centred": 1.0}
                for width in (0.5, 1.0, 2.0)
                for penalty in (1e-2, 1e-1)
            ),
            kernel.fit_kernel,
        ),
        Family(
            "cosine",
            "cosine loss",
            "the memo's trained map",
            tuple({"share": 2.0**-halvings} for halvings in range(TRIES)),
            trained.fit_cosine,
        ),
        Family(
            "contrastive",
            "contrastive loss",
            "van den Oord et al. 2018, symmetric as in Radford et al. 2021",
            tuple(
                {"temperature": temperature, "answers": share, "steps": steps}
                for temperature, share in ((0.05, 0.5), (0.1, 0.0))
                for steps in (50, 150, 400)
            ),
            trained.fit_contrastive,
        ),
        Family(
            "residual",
            "residual network",
            "Drift-Adapter, EMNLP 2025",
            tuple({"hidden": hidden, "steps": steps} for hidden in (64, 256) for steps in (30, 60, 120)),
            trained.fit_residual,
        ),
    )
}

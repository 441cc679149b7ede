"""Networks of other widths and depths, trained like the baseline."""

from arms import BASELINE, Arm, Dataset

NETWORK_DATASETS = tuple(
    Dataset(
        f"tiny{count}",
        (
            "--dataset=tiny_imagenet",
            f"--classes={count}",
            "--augment=basic",
        ),
    )
    for count in (10, 50, 100)
)
NETWORKS = (
    Arm("baseline", BASELINE, "", "", "baseline", (1075,)),
    Arm(
        "narrow_end",
        (*BASELINE, "--width=32,64,128,128"),
        "baseline",
        "do half as many kernels at the end do as well?",
        "narrow_end",
        (1075,),
    ),
    Arm(
        "wide_end",
        (*BASELINE, "--width=32,64,128,512"),
        "baseline",
        "do many classes want twice as many kernels at the end?",
        "wide_end",
        (1075,),
    ),
    Arm(
        "wider",
        (*BASELINE, "--width=40", "--depth=0,0,1,1"),
        "baseline",
        "is a wider network with fewer blocks better?",
        "wider",
        (1075,),
    ),
    Arm(
        "longer",
        (*BASELINE, "--width=24", "--depth=2"),
        "wider",
        "is a longer network better than a wider one?",
        "longer",
        (1075,),
        of_baseline=True,
    ),
)

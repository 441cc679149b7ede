"""The datasets on which growth is compared, and its arms."""

from arms import BASELINE, Arm, Dataset

KIN = "n02106662,n02099601,n02085620,n02124075,n02123045,n02129165,n02279972,"
KIN += "n02236044,n02165456,n02206856,n03670208,n02814533,n04487081,n03100240,"
KIN += "n07747607,n07753592,n07720875,n02669723,n03770439,n04371430"

TINY20 = Dataset(
    "tiny20",
    ("--dataset=tiny_imagenet", "--classes=20", "--augment=basic"),
    "4,10,all",
)
GLYPHS = Dataset("glyphs", ("--dataset=glyphs", "--augment=shift"), "8,24,all")
# 3 dogs, 3 cats, 4 insects, 4 vehicles, 3 fruits, 3 pieces of clothing: the
# first 20 classes of the file are of 17 groups, too different for H2.
KIN20 = Dataset(
    "kin20",
    ("--dataset=tiny_imagenet", f"--classes={KIN}", "--augment=basic"),
    "6,12,all",
)

H1 = ("--grow_samples={samples}", "--grow_size=32", "--stage_steps={steps}")
H1_STEPS = (55, 110, 215, 695)
H2 = ("--grow_classes={classes}", "--grow_size=32", "--stage_steps={steps}")
H2_STEPS = (108, 215, 752)
H3 = ("--grow_size=16,24,32", "--stage_steps={steps}")
H3_STEPS = (645, 645, 550)
AUTO = ("--grow_when=auto", "--evals=20")
TAXONOMY = "--class_order=taxonomy"
DROPOUT = ("--grow_samples=all,100,50,25,all", "--grow_size=32")
GROWN = ("--grow_augment=0.3,0.6,1",)
EFFICIENT = (
    "--grow_size=16,16,16,24,24,24,32,32,32,32",
    "--grow_augment=0,0.11,0.22,0.33,0.44,0.56,0.67,0.78,0.89,1",
    "--stage_shares={steps}",
)
ALL = (
    "--grow_samples={last_three}",
    "--grow_classes={classes}",
    TAXONOMY,
    "--grow_size=16,24,32",
    "--stage_steps={steps}",
)

GROWTH = (
    Arm(
        "baseline",
        BASELINE,
        "",
        "",
        "baseline",
        (1075,),
        primary=True,
    ),
    Arm(
        "h1",
        H1,
        "baseline",
        "H1: do stages of 1, 10, 100 and all images per class help?",
        "h1",
        H1_STEPS,
        primary=True,
    ),
    Arm(
        "h2",
        (*H2, TAXONOMY),
        "baseline",
        "H2: do few, very different classes first help?",
        "h2",
        H2_STEPS,
        primary=True,
    ),
    Arm(
        "h3",
        H3,
        "baseline",
        "H3: do small images first help?",
        "h3",
        H3_STEPS,
        primary=True,
    ),
    Arm(
        "h123",
        ALL,
        "baseline",
        "do all three together help?",
        "h123",
        (161, 322, 853),
        primary=True,
    ),
    Arm(
        "h3_seconds",
        H3,
        "baseline",
        "H3 at equal seconds: do small images first help?",
        "h3",
        H3_STEPS,
        primary=True,
        in_seconds=True,
    ),
    Arm(
        "h123_seconds",
        ALL,
        "baseline",
        "do all three together help at equal seconds?",
        "h123",
        (161, 322, 853),
        primary=True,
        in_seconds=True,
    ),
    Arm(
        "h3_by_steps",
        (*H3, "--schedule_clock=steps"),
        "h3",
        "is a learning rate that follows the steps as good as one that "
        "follows the cost?",
        "h3",
        H3_STEPS,
    ),
    Arm(
        "h3_auto",
        (*H3, *AUTO),
        "h3",
        "are boundaries that are decided while training better?",
        "h3",
        H3_STEPS,
    ),
    Arm(
        "h3_yoked",
        ("--grow_size=16,24,32", "--grow_schedule={decided}"),
        "h3_auto",
        "does deciding help beyond the boundaries that come of it?",
        "h3",
    ),
    Arm(
        "h3_crop",
        (*H3, "--grow_by=crop"),
        "h3",
        "are crops of the images as good as smaller images?",
        "h3",
        H3_STEPS,
    ),
    Arm(
        "efficient",
        EFFICIENT,
        "h3",
        "do ten parts of growing size and augmentation beat three sizes?",
        "efficient",
        (1000,) * 10,
        of_baseline=True,
    ),
    Arm(
        "h1_auto",
        (*H1, *AUTO),
        "h1",
        "are boundaries that are decided while training better?",
        "h1",
        H1_STEPS,
    ),
    Arm(
        "h1_yoked",
        (*H1[:2], "--grow_schedule={decided}"),
        "h1_auto",
        "does deciding help beyond the boundaries that come of it?",
        "h1",
    ),
    Arm(
        "data_dropout",
        (*DROPOUT, "--stage_steps={steps}"),
        "baseline",
        "do fewer and fewer images, then all again, help?",
        "data_dropout",
        (215,) * 5,
    ),
    Arm(
        "small_size",
        ("--grow_size=16", "--stage_steps={steps}"),
        "h3",
        "tested at 16 px too: do the cheap steps pay, or the growth?",
        "h3",
        (4300,),
    ),
    Arm(
        "small_batch",
        (*BASELINE, "--batch_size=37"),
        "h3",
        "do the additional updates pay, or the growth?",
        "small_batch",
        (1859,),
    ),
    Arm(
        "restarts",
        (
            "--grow_size=32,32,32",
            "--schedule_scope=stage",
            "--stage_steps={steps}",
        ),
        "baseline",
        "do restarts of the learning rate alone help?",
        "baseline",
        (359, 358, 358),
    ),
    Arm(
        "h3_grown_augmentation",
        (*H3, *GROWN),
        "h3",
        "does augmentation that grows with the size help?",
        "h3",
        H3_STEPS,
    ),
    Arm(
        "h1_iconic",
        (*H1, "--sample_order=iconic"),
        "h1",
        "does an iconic first image help?",
        "h1",
        H1_STEPS,
    ),
    Arm(
        "h1_medoids",
        (*H1, "--sample_order=medoids"),
        "h1",
        "do images that represent their class well help?",
        "h1",
        H1_STEPS,
    ),
    Arm(
        "h1_reversed",
        (
            "--grow_samples={backward}",
            "--grow_size=32",
            "--stage_steps={steps}",
        ),
        "h1",
        "is it the order that counts?",
        "h1",
        H1_STEPS,
        reverses=True,
    ),
    Arm(
        "h1_shrink",
        (*H1, "--stage_restart=shrink_perturb"),
        "h1",
        "do weights that are shrunk and perturbed at every boundary help?",
        "h1",
        H1_STEPS,
    ),
    Arm(
        "h2_far_first",
        (*H2, "--class_order=far_first"),
        "h2",
        "does similarity of the images do as well as a taxonomy?",
        "h2",
        H2_STEPS,
    ),
    Arm(
        "h2_near_first",
        (*H2, "--class_order=near_first"),
        "h2_far_first",
        "does it matter that different classes come first?",
        "h2",
        H2_STEPS,
    ),
    Arm(
        "h2_siblings_first",
        (*H2, "--class_order=siblings_first"),
        "h2",
        "does it matter that classes of one family come last?",
        "h2",
        H2_STEPS,
    ),
    Arm(
        "h2_random",
        (*H2, "--class_order=random"),
        "h2",
        "does any order of the classes matter?",
        "h2",
        H2_STEPS,
    ),
    Arm(
        "baseline_large_rate",
        (*BASELINE, "--lr={rate}"),
        "baseline",
        "does a three times larger rate hurt without growth?",
        "baseline",
        (1075,),
    ),
    Arm(
        "h2_large_rate",
        (*H2, TAXONOMY, "--lr={rate}"),
        "baseline_large_rate",
        "H2 at a large rate: do few classes first help then?",
        "h2",
        H2_STEPS,
    ),
)

_OF_CLASSES = ("h2_far_first", "h2_near_first", "h2_siblings_first")
_OF_CLASSES += ("h2_random", "baseline_large_rate", "h2_large_rate")
# Where classes of one family are few, arms that differ in their order alone
# would tell nothing; where they are many, only these are compared.
UNRELATED = tuple(arm for arm in GROWTH if arm.name not in _OF_CLASSES)
RELATED = tuple(
    arm for arm in GROWTH if arm.name in ("baseline", "h2", *_OF_CLASSES)
)
# Trained with the largest budget: those that answer a hypothesis, and later
# those that the rule of PROTOCOL.md adds.
LONG = tuple(arm for arm in GROWTH if arm.primary)

# A user with few images of their own; every seed draws other ones.
FEW_DATASET = Dataset(
    "few20",
    (
        "--dataset=tiny_imagenet",
        "--classes=20",
        "--augment=basic",
        "--grow_samples=50",
    ),
    "4,10,all",
    ("1", "10", "25", "50"),
)
# Not iconic images or medoids: they would be chosen among all.
FEW = tuple(
    arm for arm in GROWTH if arm.name in ("baseline", "h1", "h2", "h3", "h123")
)

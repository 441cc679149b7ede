"""Whether the ingredients of configs/tiny_imagenet/best.flags help, on a CPU.

python benchmarks/ingredients.py --data_dir=tiny-imagenet-200.zip [--seeds=3]

As many passes as such a recipe is made for want few and small images here: 20
classes with 100 training images each, 100 to 133 passes, at 16 and 24 px. Every
arm lacks one ingredient and costs the same, through --mode=compare. Finished
runs are kept in --workdir: stopped, the same command goes on. The last line is
JSON.
"""

import argparse
import json
import pathlib
import statistics

from finetune import read_rows, run

from smartgrowth.runs.reader import read_metrics

WHOLE = (
    "--dataset=tiny_imagenet",
    "--classes=20",
    "--grow_samples=100",
    "--depth=1",
    "--whiten=true",
    "--grow_size=16,24",
    "--grow_augment=0.5,1",
    "--stage_epochs=75,100",
    "--augment=strong",
    "--cutmix=0.5",
    "--label_smoothing=0.1",
    "--lr=0.008",
    "--batch_size=64",
    "--report=false",
)
WITHOUT = {
    "strong_augmentation": "--augment=basic",
    "cutmix": "--cutmix=0",
    "growing_sizes": "--grow_size=24",
    "growing_augmentation": "--grow_augment=1",
    "label_smoothing": "--label_smoothing=0",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, type=pathlib.Path)
    parser.add_argument(
        "--cache_dir", default="~/.cache/smartgrowth", type=pathlib.Path
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--gflops", type=float, default=12000)
    parser.add_argument(
        "--workdir", type=pathlib.Path, default="runs/ingredients"
    )
    given = parser.parse_args()
    folder = given.workdir.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    arms = {"whole": ()} | {
        f"without_{name}": (flag,) for name, flag in WITHOUT.items()
    }
    paths = []
    for name, flags in arms.items():
        path = folder / f"{name}.flags"
        path.write_text("\n".join([*WHOLE, *flags]) + "\n")
        paths.append(str(path))
    run(
        "--mode=compare",
        f"--arms={','.join(paths)}",
        f"--seeds={given.seeds}",
        f"--jobs={given.jobs}",
        f"--budget_gflops={given.gflops}",
        f"--data_dir={given.data_dir.expanduser().absolute()}",
        f"--cache_dir={given.cache_dir.expanduser().absolute()}",
        f"--workdir={folder}",
        "--evals=5",
    )
    rows = read_rows(folder)
    for name, row in rows.items():
        row["accuracy by two poses"] = statistics.fmean(
            read_metrics(folder / name / f"seed{seed}")["tta_accuracy"]
            for seed in range(given.seeds)
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()

"""What stands in for accuracy, held against accuracy: `python -m benchmarks.quality train|scores|tables`.

`train` trains networks of the VGG16 space on CIFAR-10, all with one small budget, and notes their accuracy on images
held back from training; `scores` computes their training-free scores. What a file has already is skipped, so a stopped
run goes on. Both take one thread: about an hour, and some minutes. `tables` needs neither images nor torch: it writes
the page, the figure and the predictor that XPert ships from the two files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from xpert.files import write_atomically

RESULTS = Path(__file__).parents[2] / "results" / "quality"


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "scores", "tables"))
    parser.add_argument("--data-dir", default="data", help="folder of CIFAR-10 (default: data)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--first", type=int, help="only the first so many trainings of the plan")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    if arguments.step == "tables":
        from benchmarks.quality import page

        page.write(arguments.results)
        return

    import torch

    from benchmarks.quality import trainings

    torch.set_num_threads(arguments.threads)
    tasks = trainings.plan()[: arguments.first]
    if arguments.step == "train":
        if not (note := arguments.results / "about.json").exists():
            write_atomically(note, json.dumps(trainings.about(), indent=1) + "\n")
        trainings.train_all(arguments.results / "accuracies.jsonl", arguments.data_dir, tasks)
    else:
        trainings.score_all(arguments.results / "scores.jsonl", arguments.data_dir, tasks)


if __name__ == "__main__":
    main()

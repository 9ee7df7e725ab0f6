"""Which published directions of stable pretraining does a CPU show? pipelines/sweep.yaml on real English documents.

    python benchmarks/sweep.py FOLDER [--run runs/sweep] [--workers N] [--picture FILE] [STAGE.FIELD=VALUE ...]
    python benchmarks/sweep.py FOLDER --time        # one model, to say how long all of them will take

FOLDER holds web/eng_Latn.parquet and judged/fineweb_edu_en.parquet: about 4,000 pages, 3.1 M tokens. Models of 1.9 M
weights with a vocabulary of 4,096, at three learning rates up to 0.1, three seeds; strengths of mu-loss and z-loss are
tuned with a fourth: 105 models, 3.3 hours of a core. The same command goes on. Prints one JSON line and writes
benchmarks/results/sweep.json; tables, picture and curves are in the run folder. At this size a direction that does not
appear may still be there at another.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from heuristics_agreement import machine

from jql.paths import pipelines_dir
from jql.pipeline import run_recipe
from jql.recipe import Recipe, load_recipe

FILES = ("web/eng_Latn", "judged/fineweb_edu_en")


def documents_of(data: Path, to: Path) -> None:
    """The documents of both files, with ids that none has twice."""
    to.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        table = pq.read_table(data / f"{name}.parquet", columns=["id", "text", "language"])
        ids = [f"{name}/{number}" for number in range(table.num_rows)]
        pq.write_table(table.set_column(0, "id", pa.array(ids)), to / f"{name.replace('/', '-')}.parquet")


def models(recipe: Recipe) -> int:
    """How many are trained."""
    rates, part = len(recipe.sweep.learning_rates), recipe.sweep
    tuned = sum(variant.tune is not None for variant in part.variants.values())
    return rates * (len(part.variants) * part.seeds + tuned * len(part.lambdas))


def timed(recipe: Recipe) -> dict[str, Any]:
    """Tokens a second of one model of the recipe on one thread, and what all would take; random tokens."""
    import torch
    from pretrain import Random

    from jql.laboratory.run_sweep import configs
    from jql.pretrain.model import Decoder
    from jql.pretrain.train import Trainer

    torch.set_num_threads(1)
    shape, how = configs(recipe, recipe.tokenizer.vocab)
    batches = Random(how.batch, shape.sequence, shape.vocab)
    trainer, stream = Trainer(Decoder(shape), how, batches), iter(batches)
    cpu = []
    for _ in range(12):
        begun = time.process_time()
        trainer.step(stream)
        cpu.append(time.process_time() - begun)
    step = sorted(cpu[2:])[5]
    every = models(recipe)
    return {
        "models": every,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "tokens_per_cpu_s": round(how.batch * shape.sequence / step),
        "cpu_hours": round(every * how.steps * step / 3600, 2),
    }


def picture(page: Path, to: Path) -> None:
    """The losses of RUN/sweep.html as a PNG; needs chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1300, "height": 900})
        opened.goto(page.resolve().as_uri())
        opened.wait_for_selector("#rates .plot-container >> nth=-1")
        opened.locator("#rates").screenshot(path=to)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--run", default="runs/sweep")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--picture", type=Path, help="PNG of the losses")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/sweep.json")
    options = parser.parse_intermixed_args()
    inputs = Path(options.run + "-input")
    given = [f"documents.path={inputs}", f"output={options.run}", f"engine.workers={options.workers}"]
    recipe = load_recipe(str(pipelines_dir() / "sweep.yaml"), [*given, *options.overrides])
    about = {"benchmark": "sweep", "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    if options.time:
        print(json.dumps({**about, **timed(recipe)}))
        return
    if not inputs.is_dir():
        documents_of(options.data, inputs)
    load, begun = os.getloadavg()[0], time.monotonic()
    made = run_recipe(recipe)
    found = made.sweep
    assert found is not None
    stages = [entry for name, entry in made.summary["time"].items() if name.startswith("sweep/")]
    line = {
        **about,
        "command": " ".join(["python benchmarks/sweep.py FOLDER", *options.overrides]),
        "load_before": round(load, 1),
        "wall_s": round(time.monotonic() - begun),
        "cpu_hours": round(sum(entry["cpu_hours"] for entry in stages), 2),
        **found,
    }
    options.out.write_text(json.dumps(line, indent=1) + "\n", encoding="utf-8")
    if options.picture:
        picture(Path(options.run) / "sweep.html", options.picture)
    told = [f"{one['claim']}: {one['outcome']}" for one in found["directions"]]
    print(json.dumps({"benchmark": "sweep", "wall_s": line["wall_s"], "directions": told}))


if __name__ == "__main__":
    main()

"""The datatrove step in real pipelines: published arguments and metadata, our scores; what it refuses."""

import dataclasses
import gzip
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from annotator.lightning_help import RegressionHead, Shell, save
from conftest import ROOT
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from encoder.encoder_help import TINY, WORDS

from jql.adapters.datatrove import PUBLISHED_ENCODER, PUBLISHED_HEADS, REPOSITORY, JQLAnnotator, stats_adapter
from jql.annotator.annotator import Annotator
from jql.annotator.calibration import Calibration
from jql.annotator.import_heads import annotator_of
from jql.encoder.encoder import NAMED, EncoderSpec, load_encoder
from jql.encoder.named import encoder_spec
from jql.errors import DataError, InputError, RecipeError

pytestmark = pytest.mark.usefixtures("one_thread")
DRAW = np.random.default_rng(7)
TEXTS = [" ".join(DRAW.choice(WORDS, size)) for size in DRAW.integers(1, 120, 60)]
NO_TEXT = {"white": " \n\t", "nothing": "", "null": None, "number": 5}


def head(path: Path, dimensions: int = 32, seed: int = 0) -> RegressionHead:
    """Its checkpoint, whose optimizer state is a file that would run a command."""
    torch.manual_seed(seed)
    model = RegressionHead(dimensions, 9)
    with torch.no_grad():
        model.layer1.weight *= 30  # embeddings of a drawn encoder lie close together
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, model, more=Shell(path.parent / "executed"))
    return model.float().eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, tuple[str, RegressionHead]]:
    folder = tmp_path_factory.mktemp("heads")
    return {
        name: (str(folder / f"{name}.ckpt"), head(folder / f"{name}.ckpt", seed=i))
        for i, name in enumerate(("gemma", "llama"))
    }


@pytest.fixture(scope="module")
def checkpoints(models) -> dict[str, str]:
    return {name: file for name, (file, _) in models.items()}


@pytest.fixture(scope="module")
def expected(gte, models) -> np.ndarray:
    """float32 (60, 2): what torch says of our embeddings."""
    embeddings = torch.from_numpy(load_encoder(encoder_spec(str(gte))).encode(TEXTS))
    with torch.inference_mode():
        return torch.cat([model(embeddings) for _, model in models.values()], 1).numpy()


def documents(texts=TEXTS) -> list[Document]:
    return [Document(text=text, id=str(i), metadata={"url": f"https://e.org/{i}"}) for i, text in enumerate(texts)]


def scores(found: list[Document], *heads: str) -> np.ndarray:
    return np.array([[document.metadata[f"score_{name}"] for name in heads] for document in found])


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.open(encoding="utf-8")]


def crawl(folder: Path, files: int = 2) -> Path:
    folder.mkdir()
    for n in range(files):
        rows = [{"text": text, "id": str(i), "url": f"u{i}"} for i, text in enumerate(TEXTS)][n::files]
        (folder / f"{n}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_two_ranks_of_a_pipeline_write_the_scores_of_torch(gte, checkpoints, expected, tmp_path):
    stats_writer = JsonlWriter(str(tmp_path / "stats"), compression=None, adapter=stats_adapter, expand_metadata=True)
    step = JQLAnnotator(str(gte), checkpoints, batch_size=7, stats_writer=stats_writer)
    pipeline = [
        JsonlReader(str(crawl(tmp_path / "in"))),
        step,
        LambdaFilter(lambda document: document.metadata["score_llama"] > np.median(expected[:, 1])),
        JsonlWriter(str(tmp_path / "out"), compression=None),
    ]
    executor = LocalPipelineExecutor(pipeline, tasks=2, workers=1, logging_dir=str(tmp_path / "log"))
    stats = executor.run()
    for rank in range(2):
        rows = lines(tmp_path / "stats")[30 * rank : 30 * (rank + 1)]
        assert [row["id"] for row in rows] == [str(i) for i in range(rank, 60, 2)]  # in the order they came in
    rows = lines(tmp_path / "stats")
    assert all(row.keys() == {"id", "url", "file_path", "score_gemma", "score_llama"} for row in rows)
    order = [int(row["id"]) for row in rows]
    found = [[row["score_gemma"], row["score_llama"]] for row in rows]
    np.testing.assert_allclose(found, expected[order], atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.05
    kept = lines(tmp_path / "out")
    assert len(kept) == 30 and all(row["text"] == TEXTS[int(row["id"])] for row in kept)
    counted = stats.stats[1].stats
    assert counted["total"].total == counted["forwarded"].total == 60 and "no_score" not in counted
    assert not list(Path(checkpoints["gemma"]).parent.glob("executed"))


def test_the_lines_of_the_documentation_score_with_the_published_encoder_and_heads(tokenizer, tmp_path, monkeypatch):
    """Names, files and shapes of the hub's two repositories; the weights are drawn."""
    import transformers

    def cached(repository: str) -> Path:
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("a" * 40)
        return folder / "snapshots" / ("a" * 40)

    torch.manual_seed(0)
    sizes = TINY | {"hidden_size": 768, "num_hidden_layers": 1}
    model = transformers.GteModel(transformers.GteConfig(**sizes, max_position_embeddings=8192, initializer_range=0.2))
    model.save_pretrained(cached(PUBLISHED_ENCODER))
    tokenizer.save_pretrained(
        tmp_path / "hub" / "models--Snowflake--snowflake-arctic-embed-m-v2.0/snapshots" / ("a" * 40)
    )
    snapshot = cached(REPOSITORY)
    drawn = {name: head(snapshot / file, 768, seed) for seed, (name, file) in enumerate(PUBLISHED_HEADS.items())}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "documents").mkdir()
    for n in range(2):
        rows = {"id": [str(i) for i in range(60)][n::2], "text": TEXTS[n::2]}
        pq.write_table(pa.table(rows), tmp_path / "documents" / f"{n}.parquet")
    monkeypatch.chdir(tmp_path)
    text = re.findall("```python\n(.*?)```", (ROOT / "docs/elsewhere.md").read_text(), re.DOTALL)[0]
    assert "JQLAnnotator(stats_writer=" in text
    exec(text.replace("tasks=8", "tasks=2, workers=1"), {})
    names = ["Edu-JQL-Gemma-SF", "Edu-JQL-Mistral-SF", "Edu-JQL-Llama-SF"]
    columns = [f"score_{name}" for name in names]
    order = [*range(0, 60, 2), *range(1, 60, 2)]
    embeddings = torch.from_numpy(
        load_encoder(NAMED["snowflake-arctic-embed-m-v2.0"]).encode([TEXTS[i] for i in order])
    )
    with torch.inference_mode():
        wanted = torch.cat([drawn[name](embeddings) for name in names], 1).numpy()
    assert np.ptp(wanted, axis=0).min() > 0.2
    files = sorted(tmp_path.glob("scores/*.gz"))
    rows = [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert all(row.keys() == {"id", "file_path", *columns} for row in rows)
    found = np.array([[row[name] for name in columns] for row in rows])
    np.testing.assert_allclose(found, wanted, atol=0.01)  # bfloat16: the last bits are those of the pack
    whole = pq.read_table(tmp_path / "scored").to_pylist()
    assert [row["text"] for row in whole] == [TEXTS[i] for i in order] and [row["id"] for row in rows] == list(
        map(str, order)
    )
    assert np.array_equal([[row["metadata"][name] for name in columns] for row in whole], found)
    shutil.rmtree(snapshot)
    with pytest.raises(
        InputError, match=r"Jackal-AI/JQL-Edu-Heads: checkpoints/edu-gemma-snowflake-balanced.ckpt is not in"
    ):
        list(JQLAnnotator()(documents()))


def test_the_encoder_is_loaded_once_for_all_ranks_but_heads_are_those_of_the_file(gte, tmp_path):
    model = head(tmp_path / "a.ckpt")
    step = JQLAnnotator(str(gte), {"a": str(tmp_path / "a.ckpt")}, device_overwrite="cpu")
    first = scores(list(step(documents(), rank=0, world_size=2)), "a")
    from jql.adapters import datatrove

    kept = list(datatrove._KEPT.values())
    assert np.array_equal(scores(list(step(documents(), rank=1, world_size=2)), "a"), first)
    assert [a is b for a, b in zip(datatrove._KEPT.values(), kept, strict=True)] == [True]
    with torch.no_grad():
        model.layer2.bias += 1
    save(tmp_path / "a.ckpt", model)
    assert not np.allclose(scores(list(step(documents())), "a"), first, atol=0.5)


def test_documents_without_text_are_counted_and_pass_every_filter_and_writer(gte, checkpoints, expected, tmp_path):
    texts = [*NO_TEXT.values(), *TEXTS[:5], "", "\ud800 lone surrogate"]
    stats_writer = ParquetWriter(str(tmp_path / "stats"), adapter=stats_adapter, expand_metadata=True)
    step = JQLAnnotator(
        str(gte), checkpoints, batch_size=2, stats_writer=stats_writer
    )  # the first batches have no text
    found = list(step(iter(documents(texts))))
    assert [document.id for document in found] == [str(i) for i in range(len(texts))]
    values = scores(found, "gemma", "llama")
    empty = [*range(4), 9]
    assert np.isnan(values[empty]).all() and np.isfinite(np.delete(values, empty, 0)).all()
    np.testing.assert_allclose(values[4:9], expected[:5], atol=1e-5)
    assert [document.text for document in found[:4]] == [" \n\t", "", "", ""]
    assert not any(document.metadata["score_llama"] > -math.inf for document in (found[i] for i in empty))
    counted = {name: value.total for name, value in step.stats.stats.items()}
    reasons = {"no_score_text_null": 1, "no_score_text_type": 1, "no_score_empty": 3, "no_score": 5}
    assert {name: counted[name] for name in reasons} == reasons and counted["total"] == len(texts)
    table = pq.read_table(tmp_path / "stats")
    assert table.column_names == ["id", "url", "score_gemma", "score_llama"]
    np.testing.assert_array_equal(np.stack(table.select(["score_gemma", "score_llama"]).to_pandas().to_numpy()), values)


def test_an_annotator_of_jql_in_worker_processes(tmp_path):
    pipeline = [
        JsonlReader(str(crawl(tmp_path / "in"))),
        JQLAnnotator(annotator="edu"),
        JsonlWriter(str(tmp_path / "out"), compression=None),
    ]
    LocalPipelineExecutor(pipeline, tasks=2, logging_dir=str(tmp_path / "log")).run()
    annotator = Annotator.load("edu")
    wanted = annotator.score(TEXTS)
    rows = lines(tmp_path / "out")
    assert sorted(int(row["id"]) for row in rows) == list(range(60))
    for row in rows:
        for name in annotator.heads:
            assert row["metadata"][f"score_{name}"] == pytest.approx(wanted[name][int(row["id"])], abs=1e-5)


def test_a_calibrated_annotator_reads_the_language_of_the_metadata(gte, checkpoints, tmp_path):
    heads = {name: Path(file) for name, file in checkpoints.items()}
    spec = EncoderSpec("transformer", str(gte), "", "cls", 4096, "float32", True, "", 32, "all")
    knots = {"llama": {"deu_Latn": [[0.0, 1.0], [3.0, 4.0]], "est_Latn": [[0.0, 1.0], [9.0, 10.0]]}}
    made = annotator_of(heads, str(gte), "x")
    made = dataclasses.replace(made, spec=spec, calibration=Calibration(knots))
    made.save(tmp_path / "mine")
    codes = [{"language": "deu", "language_script": "Latn"}, {"language": "deu_Latn"}, {"language": "fra_Latn"}, {}]
    asked = [Document(TEXTS[0], str(i), metadata=dict(code)) for i, code in enumerate(codes)]
    found = scores(list(JQLAnnotator(annotator=str(tmp_path / "mine"))(asked)), "gemma", "llama")
    raw = made.score(TEXTS[:1])
    np.testing.assert_allclose(found[:, 0], raw["gemma"][0], atol=1e-5)
    np.testing.assert_allclose(found[:, 1] - raw["llama"][0], [3, 3, 0, 0], atol=1e-5)


def test_an_error_upstream_and_a_reader_who_stops_pass_through(gte, checkpoints):
    step = JQLAnnotator(str(gte), checkpoints, batch_size=5)
    closed = []

    def broken():
        yield from documents(TEXTS[:12])
        raise OSError("the disk is gone")

    def endless():
        try:
            while True:
                yield from documents(TEXTS[:12])
        finally:
            closed.append(True)

    with pytest.raises(OSError, match="the disk is gone"):
        list(step(broken()))
    run = step(endless())
    assert [next(run).id for _ in range(7)] == [str(i) for i in range(7)]
    run.close()
    assert closed == [True]
    assert list(step(iter([]))) == [] and list(step(None)) == []


def test_what_cannot_be_is_refused(gte, checkpoints, tmp_path):
    other = "regression_head_checkpoints: those published were trained on Snowflake/snowflake-arctic-embed-m-v2.0, not on Ali"
    with pytest.raises(RecipeError, match=other):
        JQLAnnotator("Alibaba-NLP/gte-multilingual-base")
    with pytest.raises(RecipeError, match="regression_head_checkpoints: none in it"):
        JQLAnnotator(regression_head_checkpoints={})
    for more in ({"regression_head_checkpoints": checkpoints}, {"embedder_model_id": str(gte)}):
        with pytest.raises(RecipeError, match="annotator: 'edu' has an encoder and heads of its own; leave it out, or"):
            JQLAnnotator(annotator="edu", **more)
    with pytest.raises(RecipeError, match="batch_size: expected a number of documents above 0, got 0"):
        JQLAnnotator(batch_size=0)
    for device in ("tpu", "cuda:cuda:0", "cuda:", "0,1", ""):
        with pytest.raises(RecipeError, match=f"device_overwrite: expected cpu, cuda, cuda:0 .*, got '{device}'"):
            JQLAnnotator(device_overwrite=device)
    with pytest.raises(InputError, match=r"none.ckpt: no such file; name the .ckpt file of a head"):
        list(JQLAnnotator(str(gte), {"a": str(tmp_path / "none.ckpt")})(documents()))
    with pytest.raises(
        DataError, match=r"gemma.ckpt: head gemma reads 32 dimensions, jinaai/jina-embeddings-v3 has 1024"
    ):
        list(JQLAnnotator("jinaai/jina-embeddings-v3", checkpoints)(documents()))
    with pytest.raises(InputError, match="annotator 'nobody': no such folder, and not one that comes with jql"):
        list(JQLAnnotator(annotator="nobody")(documents()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="for a machine without a GPU")
@pytest.mark.parametrize("device", ["0", "1", "cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused(device, gte, checkpoints):
    with pytest.raises(
        InputError, match=f"device 'cuda{'' if device == 'cuda' else ':' + device[-1]}': not on this machine"
    ):
        list(JQLAnnotator(str(gte), checkpoints, device_overwrite=device)(documents()))


def test_jql_and_the_step_are_imported_without_torch_ray_or_transformers():
    heavy = "{'torch', 'ray', 'transformers', 'sentence_transformers'}"
    code = (
        "import sys, jql, jql.adapters.ray_data; assert 'datatrove' not in sys.modules; import jql.adapters.datatrove as d;"
        f"d.JQLAnnotator(annotator='edu'); print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""A judge on a real engine: sampled answers against the expected score, on the same documents and the same server.

    python benchmarks/judge_server.py "SERVER --model {model} --port {port} --host 127.0.0.1 ..." [--documents 200]

SERVER is any OpenAI-compatible server that gives log-probabilities, such as vLLM in an environment of its own. The
model is a random Llama of 4 million parameters made here, so that speeds compare the two ways and say nothing of real
models, and its answers cannot be read; the expected score needs no reading.
"""

import io
import json
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from jql.documents import Documents
from jql.engine import storage
from jql.engine.run import Run
from jql.judge.judge import ask_judges
from jql.recipe import make_recipe

WORDS = ["river", "stone", "light", "energy", "number", "school", "history", "music", "market", "garden", "winter"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_llama(folder: Path) -> None:
    """A random Llama with heads of 64 dimensions, as vLLM wants, and a byte-level BPE."""
    import torch
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator(
        [" ".join(WORDS) + " 0 1 2 3 4 5 6 7 8 9"] * 20,
        vocab_size=600,
        special_tokens=["<s>", "</s>", "<|user|>", "<|assistant|>"],
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    size = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=8192, bos_token_id=0, eos_token_id=1, **size, **heads
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(serve: str, documents: int = 200, max_tokens: int = 200) -> None:
    """Judge both ways and print one line of JSON."""
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        save_llama(Path(folder) / "model")
        texts = [" ".join(draw.choices(WORDS, k=120)) for _ in range(documents)]
        ids = [f"d{i}" for i in range(documents)]
        table = pa.table({"id": ids, "text": texts, "language": ["eng_Latn"] * documents})
        pq.write_table(table, f"{folder}/documents.parquet")
        common = {"model": f"{folder}/model", "serve": serve, "family": "random", "max_tokens": max_tokens}
        found: dict[str, object] = {}
        for kind in ("sampled", "expected"):
            recipe = make_recipe(
                {
                    "output": f"{folder}/{kind}",
                    "stages": ["judge"],
                    "engine": {"backend": "inline"},
                    "documents": {"path": f"{folder}/documents.parquet"},
                    "judge": {"judges": {kind: {**common, "score": kind}}},
                }
            )
            source = Documents.of_path(f"{folder}/documents.parquet", 10**6, None)
            with Run(recipe.output, recipe.engine, Console(file=io.StringIO())) as run:
                started = time.monotonic()
                judged = ask_judges(recipe, run, "rank", [kind], source)[kind]
                cost = judged.costs
                (receipt,) = judged.replies.receipts()
                rows = storage.read_table(judged.judgments.path(next(judged.judgments.receipts()))).to_pylist()
            scored = [row["score"] for row in rows if row["score"] is not None]
            found[kind] = {
                "documents_s": round(documents / receipt.seconds, 2),
                "with_start_s": round(time.monotonic() - started, 1),
                "tokens_out_a_document": round((cost["tokens_out"] or 0) / documents, 2),
                "tokens_in_a_document": round((cost["tokens_in"] or 0) / documents, 1),
                "scored": len(scored),
                "distinct_scores": len(set(scored)),
                "kinds": cost["kinds"],
            }
        print(
            json.dumps(
                {
                    "what": "sampled answers against expected score",
                    "date": time.strftime("%Y-%m-%d"),
                    "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
                    "command": "python benchmarks/judge_server.py " + json.dumps(" ".join(sys.argv[1:])),
                    "documents": documents,
                    **found,
                }
            )
        )


if __name__ == "__main__":
    typer.run(main)

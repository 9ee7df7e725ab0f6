"""What benchmarks/encoding.py compares jql with, and what it encodes: documents, weights, other ways, a machine's rate.

Shape letters: B documents of a batch, T tokens, D dimensions, N documents.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn.functional import linear, normalize

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
Layers = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
Batches = Callable[[list[int]], list[list[int]]]


@dataclass(frozen=True)
class Shape:
    """Sizes of a gte encoder, those of snowflake-arctic-embed-m-v2.0 unless said; and of the documents."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    inner: int = 3072
    vocabulary: int = 250_048
    mean: int = 690
    longest: int = 8192

    def operations(self, lengths: list[int], pooled_last: bool = False) -> float:
        """Of matrix products and attention, two for a product with its sum.

        `pooled_last`: only those that are done where the last layer is computed for the pooled tokens alone.
        """
        tokens, squares = float(sum(lengths)), float(sum(n * n for n in lengths))
        square, mlp = 2 * self.width**2, 2 * 3 * self.width * self.inner
        layer = tokens * (4 * square + mlp) + 4 * self.width * squares
        last = tokens * (2 * square + 4 * self.width) + len(lengths) * (2 * square + mlp)
        return (self.layers - 1) * layer + last if pooled_last else self.layers * layer

    def products(self, apart: bool) -> list[tuple[int, int]]:
        """Width in and out of a layer's matrices: as the model has them, or those of one input side by side."""
        d, f = self.width, self.inner
        return [(d, d)] * 4 + [(d, f)] * 2 + [(f, d)] if apart else [(d, 3 * d), (d, d), (d, 2 * f), (f, d)]


TINY = Shape(layers=2, width=128, heads=2, inner=256, vocabulary=64_128, mean=60, longest=512)


def save_model(shape: Shape, folder: Path) -> None:
    """A checkpoint with random weights, readable by transformers, sentence-transformers and jql."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import GteConfig, GteModel, PreTrainedTokenizerFast

    cutter = Tokenizer.from_file(str(ROOT / "encoders/multilingual-static/tokenizer.json"))
    cutter.add_special_tokens(["<s>", "</s>", "<pad>"])
    ends = [(name, cutter.token_to_id(name)) for name in ("<s>", "</s>")]
    cutter.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=cutter, **names, model_max_length=shape.longest).save_pretrained(folder)
    torch.manual_seed(0)
    config = GteConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.longest,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    model = GteModel(config)
    torch.set_default_dtype(before)
    model.save_pretrained(folder)
    for path in MODULES.values():
        (folder / path).mkdir(exist_ok=True)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(MODULES.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    pooling = {"word_embedding_dimension": shape.width, "pooling_mode_cls_token": True}
    pooling |= {"pooling_mode_mean_tokens": False}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": shape.longest}))


def web_lengths(n: int, shape: Shape, seed: int) -> list[int]:
    """Tokens of documents, special ones included: lognormal with sigma 1.0, cut at the longest."""
    drawn = np.random.default_rng(seed).lognormal(np.log(shape.mean) - 0.5, 1.0, n)
    return [int(tokens) for tokens in drawn.clip(3, shape.longest)]


class Writer:
    """Texts of a given number of tokens, from words that are one token each wherever they stand."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        cutter = Tokenizer.from_file(str(ROOT / "encoders/multilingual-static/tokenizer.json"))
        words = sorted(word[1:] for word in cutter.get_vocab() if word.startswith("▁") and word[1:].isalpha())
        found = cutter.encode_batch_fast(words, add_special_tokens=False)
        self._words = [word for word, encoding in zip(words, found, strict=True) if len(encoding.ids) == 1]

    def texts(self, lengths: list[int], seed: int) -> list[str]:
        """One of each length; two tokens are the special ones."""
        draw = np.random.default_rng(seed)
        words = self._words
        return [" ".join([words[i] for i in draw.integers(0, len(words), n - 2).tolist()]) for n in lengths]


def real_texts(data: Path, n: int, seed: int) -> list[str]:
    """A seeded draw from all languages of web/, about as many of each."""
    files, draw = sorted((data / "web").glob("*.parquet")), np.random.default_rng(seed)
    columns = [pq.read_table(file, columns=["text"]).column(0).to_pylist() for file in files]
    columns = [[text for text in column if text and text.strip()] for column in columns]
    found = [column[i] for column in columns for i in draw.permutation(len(column))[: -(-n // len(columns))]]
    return [found[i] for i in draw.permutation(len(found))[:n]]


def random_heads(width: int, hidden: int = 1000, heads: int = 6) -> Layers:
    """Linear - ReLU - Linear, as the published heads are; of each its weights and biases."""
    draw = np.random.default_rng(2)
    shapes = ((hidden, width), (hidden,), (1, hidden), (1,))
    return {
        f"head{i}": tuple(draw.normal(0, 0.05, shape).astype(np.float32) for shape in shapes)  # type: ignore[misc]
        for i in range(heads)
    }


class Plain:
    """The model as transformers runs it: padded, scaled dot-product attention with a mask; CLS, normalised."""

    def __init__(self, folder: Path, dtype: str, device: str = "cpu") -> None:
        from transformers import AutoModel, AutoTokenizer

        loaded = AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa")
        self._net, self._device = loaded.to(device).eval(), device
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids, special ones included, cut at what the model reads."""
        found: list[list[int]] = self.tokenizer(texts, truncation=True)["input_ids"]
        return found

    @torch.inference_mode()
    def encode(self, texts: list[str], batches: Batches) -> np.ndarray:
        """float32 (N, D). `batches`: lengths of the documents to positions that are padded together."""
        ids = self.ids(texts)
        out_ND = np.zeros((len(texts), self._net.config.hidden_size), np.float32)
        for rows in batches([len(i) for i in ids]):
            padded = self.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
            hidden_BTD = self._net(**padded.to(self._device)).last_hidden_state
            out_ND[rows] = normalize(hidden_BTD[:, 0].float(), dim=1).cpu().numpy()
        return out_ND

    def sorted(self, budget: int) -> Callable[[list[str]], np.ndarray]:
        """Encoding in batches of like length, so many tokens once padded."""
        from jql.encoder.chunks import token_batches

        return lambda texts: self.encode(texts, lambda lengths: token_batches(lengths, budget))


def arrival(size: int) -> Batches:
    """Batches of so many documents, as they come."""
    return lambda lengths: [list(range(at, min(at + size, len(lengths)))) for at in range(0, len(lengths), size)]


def sentence_transformer(folder: Path, dtype: str, shape: Shape) -> Any:
    """SentenceTransformer as its users load it; it sorts by length on its own."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    model.max_seq_length = shape.longest
    return model


class Published:
    """The published pipeline re-made: 1,000 documents in arrival order, read - tokenize - encode - heads - write.

    Unpadded, variable-length flash attention; CLS; each head for itself; all in bfloat16 and one step after the other.
    """

    def __init__(self, folder: Path, layers: Layers, device: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        from jql.encoder.attention import register

        self._device = device
        self._net = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).to(device).eval()
        self._net.set_attn_implementation(register())
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._heads = {}
        for name, weights in layers.items():
            w1, b1, w2, b2 = (torch.from_numpy(array) for array in weights)
            head = torch.nn.Sequential(torch.nn.Linear(*w1.T.shape), torch.nn.ReLU(), torch.nn.Linear(*w2.T.shape))
            head.load_state_dict({"0.weight": w1, "0.bias": b1, "2.weight": w2, "2.bias": b2})
            self._heads[name] = head.to(device, torch.bfloat16)

    def batches(self, file: Path, out: Path, size: int = 1000) -> Iterator[int]:
        """Score a file; the tokens of each batch, once its scores are written."""
        schema = pa.schema([("id", pa.string()), *((name, pa.float32()) for name in self._heads)])
        with pq.ParquetFile(file) as source, pq.ParquetWriter(out, schema) as writer:
            for batch in source.iter_batches(size, columns=["id", "text"]):
                tokens, scores = self._scores(batch.column("text").to_pylist())
                writer.write_table(pa.table([batch.column("id"), *scores], schema=schema))
                yield tokens

    @torch.inference_mode()
    def _scores(self, texts: list[str]) -> tuple[int, list[np.ndarray]]:
        ids = self._tokenizer(texts, truncation=True)["input_ids"]
        lengths = [len(i) for i in ids]
        starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=self._device)
        flat = torch.from_numpy(np.concatenate([np.asarray(i, np.int64) for i in ids])).to(self._device)
        places = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths])).to(self._device)
        packed = {"cu_seq_lens_q": starts, "max_length_q": max(lengths)}
        hidden_TD = self._net(input_ids=flat[None], position_ids=places[None], **packed).last_hidden_state[0]
        first_BD = normalize(hidden_TD[starts[:-1].long()], dim=1)
        return sum(lengths), [head(first_BD)[:, 0].float().cpu().numpy() for head in self._heads.values()]


@torch.inference_mode()
def product_rate(shape: Shape, tokens: int, device: str, dtype: str, repeat: int = 9) -> dict[str, float]:
    """Operations a second, in 10^12, of a layer's matrix products at so many tokens; medians.

    Of the matrices as the model has them, and of those with one input side by side; into new memory, as a model does
    it, and into the same memory again, which spares a CPU the page faults.
    """
    found = {}
    for apart, again in itertools.product((True, False), (False, True)):
        work = []
        for inward, outward in shape.products(apart):
            x = torch.randn(tokens, inward, device=device, dtype=getattr(torch, dtype))
            w = torch.randn(outward, inward, device=device, dtype=getattr(torch, dtype))
            work.append((x, w, torch.empty(tokens, outward, device=device, dtype=x.dtype)))

        def layer(work: list[Any] = work, again: bool = again) -> None:
            for x, w, out in work:
                if again:
                    torch.mm(x, w.T, out=out)
                else:
                    linear(x, w)

        layers = 50 if device != "cpu" else 1
        took = []
        for _ in range(repeat + 1):
            begun = time.perf_counter()
            for _ in range(layers):
                layer()
            if device != "cpu":
                torch.cuda.synchronize()
            took.append((time.perf_counter() - begun) / layers)
        operations = sum(2 * tokens * inward * outward for inward, outward in shape.products(apart))
        name = f"{'apart' if apart else 'side by side'}, {'same' if again else 'new'} memory"
        found[name] = round(operations / statistics.median(took[1:]) / 1e12, 4)
    return found

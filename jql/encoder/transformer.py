"""Transformers and sentence-transformers models as encoders: loaded without remote code, batched by tokens.

Shape letters: N documents, C chunks of all documents together, B chunks of a batch, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from jql.encoder.checkpoints import hub_commit
from jql.encoder.chunks import cut, normalise, pool_chunks, token_batches
from jql.encoder.encoder import EncoderSpec, clean_text, pinned_revision
from jql.encoder.models import Model, PlainModel, SentenceModel
from jql.errors import DataError, InputError, one_line

# Small batches stay in a CPU's cache: 8k tokens ran 1.7 times as fast as 32k on two cores. A GPU wants large ones.
TOKENS_PER_BATCH = {"cpu": 8_192, "cuda": 65_536}


class TransformerEncoder:
    """An encoder of kind "transformer" or "sentence-transformers".

    Attributes:
        spec: as given, its revision filled in.
        zeroed: documents so far whose vector was not finite (float16 overflows) and became zeros.

    Raises:
        InputError: no such model, or it asks for remote code. DataError: it is not what the spec says.
    """

    def __init__(self, spec: EncoderSpec, trust_remote_code: bool = False) -> None:
        import torch

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        made = SentenceModel if spec.kind == "sentence-transformers" else PlainModel
        pinned = pinned_revision(spec)
        if not Path(spec.model).is_dir():
            # All files of one commit, the one that is written down.
            pinned = hub_commit(spec.model, pinned)
        self.spec = spec = replace(spec, revision=pinned)
        try:
            self._model: Model = made(spec, self._device, trust_remote_code)
        except (InputError, DataError):
            raise
        except (OSError, ValueError, SafetensorError) as error:
            if "trust_remote_code" in str(error):
                found = "it wants to run Python code of its own, which jql does only when told to"
                todo = "read that code, then allow it with load_encoder(spec, trust_remote_code=True)"
                raise InputError(f"encoder {spec.model}: {found}; {todo}") from error
            todo = "expected a whole model folder or the id of a model on the Hugging Face hub"
            raise InputError(f"encoder {spec.model}: cannot be loaded ({one_line(error)}); {todo}") from error
        self.zeroed = 0
        self._before, self._after = _special_tokens(self._model, spec.model)
        self._prompt = self._model.tokenize([spec.prompt])[0] if spec.prompt else []
        self._check()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (N, D), rows in the order of the texts; zeros for a text without tokens or without a finite vector.

        The last bits depend on which texts are encoded together, since padding differs.
        """
        if not texts:
            return np.zeros((0, self.spec.dim), dtype=np.float32)
        documents = self._model.tokenize([self.spec.prompt + clean_text(text) for text in texts])
        special = len(self._before) + len(self._after)
        chunks: list[list[int]] = []
        tokens: list[int] = []
        document: list[int] = []
        for i, ids in enumerate(documents):
            whole = self.spec.long == "truncate" or len(ids) + special <= self.spec.max_tokens
            # The prompt is tokenized with the text, as the model knows it, and put before all later chunks.
            prompt = [] if whole else self._prompt
            for n, chunk in enumerate(cut(ids, self.spec.long, self.spec.max_tokens, special + len(prompt))):
                chunks.append([*self._before, *(prompt if n else []), *chunk, *self._after])
                tokens.append(len(chunk))
                document.append(i)
        vectors_ND = pool_chunks(self._embed(chunks), np.array(tokens), np.array(document), len(texts))
        broken_N = ~np.isfinite(vectors_ND).all(axis=1)
        vectors_ND[broken_N] = 0
        self.zeroed += int(broken_N.sum())
        return normalise(vectors_ND) if self.spec.normalise else vectors_ND

    def _embed(self, chunks: list[list[int]]) -> np.ndarray:
        """Chunks with their special tokens to float32 (C, D), zeros for a chunk without any token."""
        import torch

        vectors_CD = np.zeros((len(chunks), self.spec.dim), dtype=np.float32)
        filled = [i for i, ids in enumerate(chunks) if ids]
        with torch.inference_mode():
            for batch in token_batches([len(chunks[i]) for i in filled], TOKENS_PER_BATCH[self._device]):
                rows = [filled[i] for i in batch]
                vectors_BD = self._model.forward([chunks[i] for i in rows], len(self._before) + len(self._prompt))
                vectors_CD[rows] = vectors_BD.float().cpu().numpy()
        return vectors_CD

    def _check(self) -> None:
        import torch

        where, positions = f"encoder {self.spec.model}", self._model.positions
        if positions and self.spec.max_tokens > positions:
            found = f"the model reads {positions} tokens, got {self.spec.max_tokens}"
            raise DataError(f"{where}: max_tokens: {found}; write {positions} or less")
        special = len(self._before) + len(self._prompt) + len(self._after)
        cut([0] * self.spec.max_tokens, self.spec.long, self.spec.max_tokens, special)  # refuses what leaves no room
        with torch.inference_mode():
            probe = [*self._before, *self._model.tokenize(["a"])[0], *self._after]
            vector_BD = self._model.forward([probe], len(self._before))
        if vector_BD.shape[1] != self.spec.dim:
            raise DataError(
                f"{where}: dim: the model's is {vector_BD.shape[1]}, got {self.spec.dim}; write the model's"
            )
        if not torch.isfinite(vector_BD).all():
            raise DataError(f"{where}: the vector of the text 'a' is not finite; use dtype float32 or fetch it again")


def _special_tokens(model: Model, name: str) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text, found by comparing one text with and without."""
    bare, full = model.tokenize(["a"])[0], model.tokenize(["a"], special=True)[0]
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start], full[start + len(bare) :]
    raise DataError(f"encoder {name}: its special tokens do not stand around the text ({bare} in {full}); use another")

"""Transformers and sentence-transformers models as encoders: loaded without remote code, packed or batched by tokens.

Shape letters: N documents, C chunks of all documents of a batch, B chunks of a pack, D dimensions.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from jql.encoder.checkpoints import hub_commit
from jql.encoder.chunks import cut, normalise, pool_chunks, token_batches
from jql.encoder.device import Device, out_of_memory
from jql.encoder.encoder import EncoderSpec, clean_text, local_model, pinned_revision
from jql.encoder.models import Model, PlainModel, SentenceModel
from jql.encoder.packing import Packer
from jql.engine.ahead import ahead
from jql.errors import DataError, InputError, JqlError, one_line

IN_FLIGHT = 1
"""Packs that a GPU is given before the vectors of an earlier one are asked for."""


@dataclass
class Cut:
    """Documents as chunks of token ids, special ones included, and what is known of their vectors.

    Attributes:
        documents: N. tokens, document: of each chunk, its text tokens and which document it is of.
        left: chunks that have no vector yet. vectors_CD: float32, zeros for those and for a chunk without any token.
    """

    documents: int
    chunks: list[list[int]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    document: list[int] = field(default_factory=list)
    left: int = 0
    vectors_CD: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))


Place = tuple[Cut, int]
"""A chunk: which batch, which of its chunks."""


@dataclass(frozen=True)
class Flight:
    """A pack whose vectors are under way."""

    pack: list[Place]
    vectors: Callable[[], np.ndarray]

    def land(self) -> None:
        """Wait for the vectors, and put each where it belongs."""
        for (batch, i), vector_D in zip(self.pack, self.vectors(), strict=True):
            batch.vectors_CD[i] = vector_D
            batch.left -= 1


class TransformerEncoder:
    """An encoder of kind "transformer" or "sentence-transformers".

    Attributes:
        spec: as given, its revision filled in.
        budget: most tokens of a pack; less once memory has run out.
        zeroed: documents so far whose vector was not finite (float16 overflows) and became zeros.

    Raises:
        InputError: no such model, or it asks for remote code. DataError: it is not what the spec says.
    """

    def __init__(self, spec: EncoderSpec, trust_remote_code: bool = False, device: str | None = None) -> None:
        self._device = Device(device)
        self.budget = self._device.tokens
        made = SentenceModel if spec.kind == "sentence-transformers" else PlainModel
        address, spec = spec.model, replace(spec, model=local_model(spec.model))
        pinned = pinned_revision(spec)
        if not Path(spec.model).is_dir():
            # All files of one commit, the one that is written down.
            pinned = hub_commit(spec.model, pinned)
        spec = replace(spec, revision=pinned)
        self.spec = replace(spec, model=address)
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

        The last bits depend on which texts are encoded together.
        """
        return next(self._encode([self._cut(texts)]))

    def stream(self, batches: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
        """See `Encoder`; batches are drawn and tokenized in a thread, and share packs."""
        with closing(ahead(map(self._cut, batches))) as cut_batches:
            yield from self._encode(cut_batches)

    def _cut(self, texts: Sequence[str]) -> Cut:
        """Token ids of the chunks of some documents."""
        documents = self._model.tokenize([self.spec.prompt + clean_text(text) for text in texts]) if texts else []
        special = len(self._before) + len(self._after)
        found = Cut(len(texts))
        for i, ids in enumerate(documents):
            whole = self.spec.long == "truncate" or len(ids) + special <= self.spec.max_tokens
            # The prompt is tokenized with the text, as the model knows it, and put before all later chunks.
            prompt = [] if whole else self._prompt
            for n, chunk in enumerate(cut(ids, self.spec.long, self.spec.max_tokens, special + len(prompt))):
                found.chunks.append([*self._before, *(prompt if n else []), *chunk, *self._after])
                found.tokens.append(len(chunk))
                found.document.append(i)
        return found

    def _encode(self, batches: Iterable[Cut]) -> Iterator[np.ndarray]:
        """Embeddings of each batch; the next packs are under way on a GPU before the vectors of the last are read."""
        import torch

        waiting: deque[Cut] = deque()
        flying: deque[Flight] = deque()
        for pack in self._packs(batches, waiting):
            with torch.inference_mode():
                flying.extend(self._launch(pack))
            while len(flying) > IN_FLIGHT:
                flying.popleft().land()
            while waiting and waiting[0].left == 0:
                yield self._pooled(waiting.popleft())
        for flight in flying:
            flight.land()
        yield from map(self._pooled, waiting)

    def _packs(self, batches: Iterable[Cut], waiting: deque[Cut]) -> Iterator[list[Place]]:
        """Chunks that are encoded together; every batch is put down in `waiting` before its first."""
        packer: Packer[Place] = Packer(self.budget)
        for batch in batches:
            packer.budget = self.budget
            batch.vectors_CD = np.zeros((len(batch.chunks), self.spec.dim), np.float32)
            filled = [i for i, ids in enumerate(batch.chunks) if ids]
            batch.left = len(filled)
            waiting.append(batch)
            if not self._model.packs:
                for rows in token_batches([len(batch.chunks[i]) for i in filled], self.budget):
                    yield [(batch, filled[row]) for row in rows]
                continue
            for i in filled:
                if pack := packer.add((batch, i), len(batch.chunks[i])):
                    yield pack
        yield from packer.flush()

    def _launch(self, pack: list[Place]) -> list[Flight]:
        """Encode a pack; in two, and smaller ones from then on, where memory runs out.

        Raises:
            JqlError: it runs out for a single sequence.
        """
        sequences = [batch.chunks[i] for batch, i in pack]
        lengths = [len(ids) for ids in sequences]
        tokens = sum(lengths) if self._model.packs else len(lengths) * max(lengths)
        if tokens <= self.budget or len(pack) == 1:
            try:
                vectors_BD = self._model.forward(sequences, len(self._before) + len(self._prompt))
                return [Flight(pack, self._device.get(vectors_BD))]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(pack) == 1:
                    raise JqlError(
                        f"encoder {self.spec.model}: {self._device.name} runs out of memory on a single sequence of "
                        f"{tokens} tokens; write a smaller max_tokens, or give it a device of its own"
                    ) from error
                self.budget = tokens // 2
            self._device.free()  # not in the handler, as the error holds on to what was computed
        half = (len(pack) + 1) // 2
        return self._launch(pack[:half]) + self._launch(pack[half:])

    def _pooled(self, batch: Cut) -> np.ndarray:
        """Document vectors from those of their chunks; what is not finite becomes zeros."""
        vectors_ND = pool_chunks(
            batch.vectors_CD, np.array(batch.tokens, np.int64), np.array(batch.document, np.int64), batch.documents
        )
        broken_N = ~np.isfinite(vectors_ND).all(axis=1)
        vectors_ND[broken_N] = 0
        self.zeroed += int(broken_N.sum())
        return normalise(vectors_ND) if self.spec.normalise else vectors_ND

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

"""Named-entity recognition as a probe: files to a tagger, and its entities against those of the test file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jql.engine.storage import put
from jql.errors import DataError, InputError
from jql.probe.config import ProbeSettings
from jql.probe.conll import Corpus, Sentence, read_conll, write_conll
from jql.probe.labels import Scheme, label_set, spans, without_inconsistent

if TYPE_CHECKING:
    from jql.probe.train import Epoch

FIGURES = "ner.json"
PREDICTED = "test.conll"


@dataclass(frozen=True)
class Figures:
    """How entities found compare with those of a file; exact ones alone count, over all types together.

    Attributes:
        f1: seqeval's, in [0, 1], which is conlleval's: I- that continues nothing begins an entity and counts.
        f1_consistent: the same without such entities, as nerblackbox has it. inconsistent: how many there are.
        entities: of the file. types: precision, recall, f1 and support of each type.
    """

    f1: float
    precision: float
    recall: float
    entities: int
    f1_consistent: float
    inconsistent: int
    types: dict[str, dict[str, float]] = field(default_factory=dict)


def entity_figures(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], where: str = "test") -> Figures:
    """Compare tags in BIO, one list a sentence.

    Raises:
        DataError: there is no entity to be found. InputError: seqeval is not installed.
    """
    try:
        from seqeval.metrics import classification_report, f1_score
    except ImportError as error:
        raise InputError("the probe needs seqeval; pip install 'jql[probe]'") from error
    known, found = [list(tags) for tags in true], [list(tags) for tags in predicted]
    if not any(spans(tags) for tags in known):
        raise DataError(f"{where}: no entity in it; there is nothing to find")
    report = classification_report(known, found, output_dict=True, zero_division=0)
    consistent = [without_inconsistent(tags) for tags in found]
    types = {
        name: {key.removesuffix("-score"): float(value) for key, value in row.items()}
        for name, row in report.items()
        if not name.endswith(" avg")
    }
    micro = report["micro avg"]
    return Figures(
        f1=float(micro["f1-score"]),
        precision=float(micro["precision"]),
        recall=float(micro["recall"]),
        entities=int(micro["support"]),
        f1_consistent=float(f1_score(known, consistent, zero_division=0)),
        inconsistent=sum(len(spans(a)) - len(spans(b)) for a, b in zip(found, consistent, strict=True)),
        types=types,
    )


@dataclass(frozen=True)
class Probed:
    """A finished probe.

    Attributes:
        best: the epoch that is used, from 1. history: a dict of `jql.probe.train.Epoch` for each.
        validation: of the best epoch; None of a share without entities. test: of the same. last: of the last epoch, on
            the test file.
        sentences: used of each file. cut, unspelled: words without a token, by file.
        tags: predicted for the test file.
    """

    model: str
    settings: dict[str, Any]
    scheme: Scheme
    best: int
    history: list[dict[str, float]]
    validation: Figures | None
    test: Figures
    last: Figures
    sentences: dict[str, int]
    cut: dict[str, int]
    unspelled: dict[str, int]
    tags: list[list[str]]

    def to_json(self) -> dict[str, Any]:
        """All of it but the tags."""
        found = asdict(self)
        del found["tags"]
        return found


@dataclass(frozen=True)
class Task:
    """The files of a probe, read.

    Raises:
        DataError: a file has a type that the training file has not.
    """

    train: Corpus
    validation: Corpus
    test: Corpus

    @classmethod
    def read(cls, train: str, validation: str, test: str, scheme: Scheme | None = None) -> "Task":
        """Read three files in one scheme, which is the training file's where none is given.

        Raises:
            InputError, DataError: see `read_conll`; a type that is not in the training file names file and line.
        """
        first = read_conll(train, scheme)
        return cls(first, read_conll(validation, first.scheme), read_conll(test, first.scheme))

    def __post_init__(self) -> None:
        types = {label[2:] for label in self.labels[1:]}
        self.validation.of_types(types, self.train.path)
        self.test.of_types(types, self.train.path)

    @property
    def labels(self) -> list[str]:
        """The label set, of the whole training file whatever share of it is used."""
        return label_set((sentence.tags for sentence in self.train.sentences), self.train.path)


def drawn(sentences: Sequence[Sentence], share: float, seed: int) -> list[Sentence]:
    """A share of sentences, one at least, in their order; of one seed a larger share holds the smaller one."""
    count = max(1, round(share * len(sentences)))
    chosen = np.random.default_rng([seed, len(sentences)]).permutation(len(sentences))[:count]
    return [sentences[i] for i in sorted(chosen.tolist())]


def probe_ner(
    model: str,
    task: Task,
    settings: ProbeSettings,
    device: str | None = None,
    report: Callable[["Epoch"], None] = lambda epoch: None,
) -> Probed:
    """Fine-tune a model on a task, and measure it.

    Args:
        model: see `jql.probe.model.load_tagger`.
        device: "cpu", "cuda:1"; None for the GPU where there is one.
        report: is told every `jql.probe.train.Epoch`.

    Raises:
        InputError, DataError, RecipeError: see `load_tagger`, `fit`, `entity_figures`.
    """
    from jql.encoder.device import Device
    from jql.probe.model import load_tagger
    from jql.probe.subwords import NONE, encode
    from jql.probe.train import fit, predict

    labels, device = task.labels, Device(device).name
    tagger = load_tagger(model, len(labels), settings.seed, settings.max_length)
    used = {
        "train": drawn(task.train.sentences, settings.share, settings.seed),
        "validation": drawn(task.validation.sentences, settings.share, settings.seed),
        "test": list(task.test.sentences),
    }
    encoded = {
        name: encode(sentences, tagger.tokenizer, labels, settings.max_length, settings.token)
        for name, sentences in used.items()
    }
    for name, found in encoded.items():
        if not any(place != NONE for example in found.examples for place in example.places):
            raise DataError(
                f"{getattr(task, name).path}: no word has a token within --max-length {settings.max_length}"
            )
        if (most := max(max(example.ids) for example in found.examples if example.ids)) >= tagger.vocab:
            raise DataError(f"{model}: its tokenizer has the id {most}, expected ids below {tagger.vocab}, as it has")
    tagger.to(device)

    def tags_of(name: str) -> list[list[str]]:
        chosen = predict(tagger, encoded[name].examples, settings.batch)
        return [[labels[i] for i in row] for row in chosen]

    known = {name: [sentence.tags for sentence in sentences] for name, sentences in used.items()}
    entity_figures(known["test"], known["test"], task.test.path)  # refused before the work
    fitted = fit(tagger, encoded["train"].examples, encoded["validation"].examples, settings, report)
    last = entity_figures(known["test"], tags_of("test"))
    tagger.load_state_dict(fitted.weights)
    tags = tags_of("test")
    some = any(spans(tags) for tags in known["validation"])
    return Probed(
        model=model,
        settings=asdict(settings) | {"epochs": settings.last},
        scheme=task.train.scheme,
        best=fitted.best,
        history=[asdict(epoch) for epoch in fitted.history],
        validation=entity_figures(known["validation"], tags_of("validation")) if some else None,
        test=entity_figures(known["test"], tags),
        last=last,
        sentences={name: len(sentences) for name, sentences in used.items()},
        cut={name: found.cut for name, found in encoded.items()},
        unspelled={name: found.unspelled for name, found in encoded.items()},
        tags=tags,
    )


def save_probed(folder: Path, probed: Probed, task: Task) -> None:
    """Write the figures, and the test file with the predicted tags in a third column.

    Raises:
        OutputError: the folder cannot be written.
    """
    put(str(folder / FIGURES), (json.dumps(probed.to_json(), indent=1) + "\n").encode())
    write_conll(folder / PREDICTED, task.test.sentences, probed.tags)

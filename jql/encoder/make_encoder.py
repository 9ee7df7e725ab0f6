"""`jql encoder train`: vocabulary, token vectors, retrieval on held-out lines, and the card that says so."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from jql import __version__
from jql.annotator.ngrams import ngrams
from jql.encoder.parallel_text import CAPS, HELD_OUT, SOURCES, ParallelText, read_parallel_text
from jql.encoder.retrieval import retrieval
from jql.encoder.static import StaticEncoder, save_static, static_spec
from jql.encoder.train_static import Training, teacher_vectors, train_static
from jql.encoder.vocabulary import train_vocabulary, vocabulary_texts


def make_encoder(parallel: Path, pages: Path | None, teacher: str | None, folder: Path, training: Training) -> None:
    """Train a static encoder into a folder that sentence-transformers loads, with training.yaml and CARD.md."""
    begun = time.monotonic()
    text = read_parallel_text(parallel, training.seed)
    print(f"{len(text.english):,} pairs, {len(text.documents):,} documents, {len(text.held_out)} languages", flush=True)
    tokenizer = train_vocabulary(vocabulary_texts(text, pages, training.seed), training.vocabulary)
    print(f"{tokenizer.get_vocab_size():,} pieces after {time.monotonic() - begun:.0f} s", flush=True)
    taught = teacher_vectors(teacher, text.english) if teacher else None
    vectors_VD = train_static(text, pages, tokenizer, taught, training)
    save_static(folder, tokenizer, vectors_VD)
    describe(folder, text, training, teacher, pages is not None, time.monotonic() - begun)


def describe(
    folder: Path, text: ParallelText, training: Training, teacher: str | None, pages: bool, seconds: float
) -> None:
    """Measure the encoder of a folder; write training.yaml and CARD.md beside it, neither part of its revision."""
    encoder = StaticEncoder(static_spec(str(folder.resolve())))
    ours, plain = retrieval(encoder.encode, text.held_out), retrieval(ngrams, text.held_out)
    lines = [t for pairs in text.held_out.values() for _, t in pairs]
    begun = time.process_time()
    encoder.encode(lines)
    speed = sum(map(len, lines)) / (time.process_time() - begun)
    # Files lack different lines, so that a line among one language's last 500 can stand before another's.
    held = {english for pairs in text.held_out.values() for english, _ in pairs}
    record = {
        "jql": __version__,
        "training": asdict(training),
        "teacher": Path(teacher).name if teacher else None,
        "pairs": len(text.english),
        "pairs_of_lines_held_out_elsewhere": len([e for e in text.english if e in held]),
        "seconds": round(seconds),
        "retrieval": {language: round(value, 4) for language, value in ours.items()},
        "retrieval_ngrams": {language: round(value, 4) for language, value in plain.items()},
        "characters_a_second": round(speed),
    }
    (folder / "CARD.md").write_text(encoder_card(folder.name, record, pages), encoding="utf-8")
    (folder / "training.yaml").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    mean, worst = np.mean(list(ours.values())), min(ours, key=lambda language: ours[language])
    print(f"retrieval {mean:.3f}, worst {worst} {ours[worst]:.3f}; n-grams {np.mean(list(plain.values())):.3f}")


def encoder_card(name: str, record: dict, pages: bool) -> str:  # type: ignore[type-arg]
    """The text of CARD.md."""
    training, ours, plain = record["training"], record["retrieval"], record["retrieval_ngrams"]
    rows = "\n".join(f"| {language} | {ours[language]:.3f} | {plain[language]:.3f} |" for language in sorted(ours))
    sources = ", ".join(f"{source} (weight {weight:g})" for source, weight in SOURCES.items())
    caps = " and ".join(f"{cap:,} of {source}" for source, cap in CAPS.items())
    losses = "translations find each other among a batch, sentence by sentence and in runs of six lines"
    losses += ", halves of a web page find each other among pages of their language" if pages else ""
    losses += f", and the English side's vector in {record['teacher']} is matched" if record["teacher"] else ""
    shown = (
        "Web pages belong to their authors; they served for counting sub-words and for the halves. " if pages else ""
    )
    shown += f"The English model matched is {record['teacher']}." if record["teacher"] else ""
    return f"""# {name}

A static multilingual encoder: a text is the mean of its sub-words' vectors, {training["dim"]} dimensions,
{training["vocabulary"]:,} pieces. sentence-transformers' StaticEmbedding format:

    SentenceTransformer("{name}")          # the folder
    jql train with train.encoder: {name}

## Training

{record["pairs"]:,} pairs of English and another language: {sources}; of a language at most {caps}.
Losses: {losses}.
Weights {training["documents"]:g} (runs), {training["halves"]:g} (halves), {training["distil"]:g} (match) beside 1.
{training["epochs"]:g} epochs, batch {training["batch"]:,}, Adam {training["learning_rate"]:g}, seed {training["seed"]};
{record["seconds"]:,} s in all. The last {HELD_OUT} NTREX lines of each language are in no training of that language;
{record["pairs_of_lines_held_out_elsewhere"]} pairs have an English side that is held out for another language, whose
file lacks lines.

Licences of the sources: NTREX and SIB-200 (FLORES) CC BY-SA 4.0, Tatoeba CC BY 2.0 FR, GNOME help CC BY 3.0, eForms
CC BY 4.0, wordnets of OMW each its own (mostly CC BY or CC BY-SA), UDHR none stated. {shown}

## Figures

Held-out NTREX lines, English to the language and back among {HELD_OUT}: share whose nearest is the translation.
Mean {np.mean(list(ours.values())):.3f}; character 2-4-grams {np.mean(list(plain.values())):.3f}.
Speed: {record["characters_a_second"] / 1e6:.1f} million characters a second on one core, tokenizing included.

| language | encoder | character n-grams |
| --- | --- | --- |
{rows}

## What it cannot do

It does not see word order, negation or who did what. Words outside of its vocabulary fall into letters; languages
beyond the {len(ours) + 1} (English among them) are noise to it. It was trained on sentences and on pages of 1,000
characters: of long texts it says what they are about, no more.
"""

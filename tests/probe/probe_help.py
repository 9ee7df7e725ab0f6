"""A task of one rule for the tiny checkpoints of the encoder's tests, and a decoder for it."""

import random
from pathlib import Path

from encoder_help import WORDS

from jql.probe.conll import Corpus, Sentence
from jql.probe.ner import Task

ENTITIES = {"river": ["B-LOC"], "star": ["B-PER"], "school reads": ["B-ORG", "I-ORG"]}
OTHERS = [word for word in WORDS if word not in " ".join(ENTITIES)]


def sentences(count: int, seed: int) -> tuple[Sentence, ...]:
    """Every word has one tag, so that a model without any context can learn them all."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        words, tags = [], []
        for place in [*draw.choices([*ENTITIES, *OTHERS], k=draw.randint(2, 5)), draw.choice(list(ENTITIES))]:
            words += place.split()
            tags += ENTITIES.get(place, ["O"])
        found.append(Sentence(tuple(words), tuple(tags)))
    return tuple(found)


def made_task(train: int = 32, seed: int = 0) -> Task:
    parts = (("train", train), ("validation", 12), ("test", 12))
    return Task(*(Corpus(name, "bio", sentences(n, 10 * seed + i)) for i, (name, n) in enumerate(parts)))


def word_tokenizer():
    """A token for every word, with the special tokens of XLM-R: tiny models learn this task in seconds."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **special)


def save_decoder(folder: Path) -> Path:
    """What `jql pretrain` leaves behind: a LlamaForCausalLM with a tokenizer trained here."""
    from jql.pretrain.config import ModelConfig
    from jql.pretrain.hf import to_hf
    from jql.pretrain.model import Decoder
    from jql.tokens.bpe import train_bpe
    from jql.tokens.tokenizer import load_tokenizer

    files = train_bpe([" ".join(WORDS)] * 3, 310, spaces=2)
    (folder / "tokenizer").mkdir(parents=True)
    for name, data in files.items():
        (folder / "tokenizer" / name).write_bytes(data)
    tokenizer = load_tokenizer(str(folder / "tokenizer")).transformers()
    shape = ModelConfig(vocab=310, hidden=32, layers=2, heads=2, kv_heads=1, ffn=48, sequence=64)
    to_hf(Decoder(shape, 0), folder / "model", tokenizer)
    return folder / "model"

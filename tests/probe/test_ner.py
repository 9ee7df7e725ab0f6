"""Tiny models of every kind, fine-tuned on a task that they can learn; and the figures by counting."""

import itertools
import json
import math
from dataclasses import replace

import pytest
from encoder_help import save_gte, save_jina
from hypothesis import given
from hypothesis import strategies as st
from probe_help import made_task, save_decoder, sentences, word_tokenizer

pytest.importorskip("torch")

import torch

from jql.errors import DataError, InputError, RecipeError
from jql.probe.config import ProbeSettings
from jql.probe.conll import Sentence
from jql.probe.labels import spans, without_inconsistent
from jql.probe.model import load_tagger
from jql.probe.ner import drawn, entity_figures, probe_ner, save_probed
from jql.probe.ner_tables import probe_table
from jql.probe.subwords import collate, encode
from jql.schedule import Adaptive

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ProbeSettings(schedule="fixed", epochs=14, learning_rate=0.01, max_length=60)


@pytest.fixture(scope="module")
def tokenizer():
    """What the checkpoints of conftest.py are given here."""
    return word_tokenizer()


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return save_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def task():
    return made_task(48)


TAGS = st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=6, max_size=6)


@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=4))
def test_seqeval_counts_the_spans_that_we_read(rows):
    true = [without_inconsistent(known) for known, _ in rows]
    predicted = [found for _, found in rows]
    known = {(i, *span) for i, tags in enumerate(true) for span in spans(tags)}
    found = {(i, *span) for i, tags in enumerate(predicted) for span in spans(tags)}
    if not known:
        with pytest.raises(DataError, match="test: no entity in it; there is nothing to find"):
            entity_figures(true, predicted)
        return
    figures = entity_figures(true, predicted)
    assert figures.f1 == pytest.approx(2 * len(known & found) / (len(known) + len(found)))
    assert figures.entities == len(known) == sum(row["support"] for row in figures.types.values())
    consistent = [without_inconsistent(tags) for tags in predicted]
    kept = {(i, *span) for i, tags in enumerate(consistent) for span in spans(tags)}
    assert figures.inconsistent == len(found - kept)
    assert figures.f1_consistent == pytest.approx(2 * len(known & kept) / (len(known) + len(kept)))


def test_an_entity_that_begins_with_i_counts_in_f1_and_not_in_the_other():
    figures = entity_figures([["O", "B-X", "O"]], [["O", "I-X", "O"]])
    assert (figures.f1, figures.f1_consistent, figures.inconsistent) == (1, 0, 1)
    figures = entity_figures([["O", "B-X", "O"]], [["I-Y", "B-X", "O"]])
    assert (figures.f1, figures.f1_consistent) == (pytest.approx(2 / 3), 1)


@pytest.mark.parametrize("kind", ["gte", "bert", "static", "decoder"])
def test_a_model_of_every_kind_learns_the_task(kind, task, request):
    # The decoder's words are several tokens, and it reads none that comes later.
    settings = replace(QUICK, token="last") if kind == "decoder" else QUICK
    found = probe_ner(str(request.getfixturevalue(kind)), task, settings, "cpu")
    assert found.test.f1 > 0.98 and found.validation.f1 > 0.95
    assert found.best == len(found.history) == 14
    assert found.sentences == {"train": 48, "validation": 12, "test": 12}
    assert sum(found.cut.values()) == sum(found.unspelled.values()) == 0


def test_the_adaptive_schedule_follows_the_validation_loss_and_the_best_epoch_is_used(gte, task, tmp_path):
    settings = replace(QUICK, schedule="adaptive", epochs=40, learning_rate=0.03, seed=1)
    small = replace(task, train=replace(task.train, sentences=task.train.sentences[:12]))
    told = []
    found = probe_ner(str(gte), small, settings, "cpu", told.append)
    losses = [epoch.validation_loss for epoch in told]
    schedule = Adaptive(40)
    for epoch in told:
        assert epoch.factor == schedule.factor(epoch.epoch)
        assert schedule.epoch_done(-epoch.validation_loss) == (epoch is told[-1])
    assert found.best == losses.index(min(losses)) + 1 < len(losses) == found.best + 8 < 40
    # The same epochs without those after the best: its weights are the ones that were measured.
    again = probe_ner(str(gte), small, replace(settings, epochs=found.best), "cpu")
    assert again.last == again.test == found.test and again.tags == found.tags

    save_probed(tmp_path, found, small)
    written = json.loads((tmp_path / "ner.json").read_text(encoding="utf-8"))
    assert written["best"] == found.best and written["settings"]["epochs"] == 40 and "tags" not in written
    rows = [line.split("\t") for line in (tmp_path / "test.conll").read_text(encoding="utf-8").splitlines() if line]
    assert [row[2] for row in rows] == [tag for tags in found.tags for tag in tags]
    assert [row[:2] for row in rows] == [
        list(pair) for s in small.test.sentences for pair in zip(s.words, s.tags, strict=True)
    ]
    assert f"epoch {found.best} of {len(losses)}" in probe_table(found).caption


def test_the_same_seed_is_the_same_model_and_batches_do_not_matter(static, bert, task):
    one, again = (probe_ner(str(static), task, replace(QUICK, epochs=2), "cpu") for _ in range(2))
    assert one == again
    assert probe_ner(str(static), task, replace(QUICK, epochs=2, seed=1), "cpu").history != one.history
    tagger = load_tagger(str(bert), 7, 0, 60).eval()
    examples = encode(task.test.sentences, tagger.tokenizer, task.labels, 60).examples
    with torch.inference_mode():
        together = tagger(collate(examples, tagger.pad))
        alone = torch.cat([tagger(collate([example], tagger.pad)) for example in examples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_published_layouts_are_read_without_their_own_code(gte, alibaba, tokenizer, task, tmp_path):
    examples = encode(task.test.sentences, tokenizer, task.labels, 60).examples
    jina, _, _ = save_jina(tokenizer, tmp_path / "jina")
    found = []
    for folder in (gte, alibaba, jina):
        tagger = load_tagger(str(folder), 7, 0, 60).eval()
        with torch.inference_mode():
            found.append(tagger(collate(examples, tagger.pad)))
    torch.testing.assert_close(found[0], found[1])
    assert found[2].isfinite().all() and found[2].shape == found[0].shape


def test_a_larger_share_holds_the_smaller_one():
    made = sentences(50, 0)
    shares = [drawn(made, share, 3) for share in (0.001, 0.1, 0.5, 1)]
    assert [len(share) for share in shares] == [1, 5, 25, 50] and shares[3] == list(made)
    for smaller, larger in itertools.pairwise(shares):
        assert {id(s) for s in smaller} <= {id(s) for s in larger}
    assert drawn(made, 0.1, 3) == shares[1] != drawn(made, 0.1, 4)


def test_what_cannot_be_probed_is_refused(static, decoder, task, tmp_path):
    tokenizer = word_tokenizer()
    with pytest.raises(InputError, match=r"nowhere: cannot be loaded .* expected a whole model folder"):
        load_tagger(str(tmp_path / "nowhere"), 3, 0, 60)
    with pytest.raises(RecipeError, match=r"--max-length: .* reads 64 tokens, got 128"):
        load_tagger(str(decoder), 3, 0, 128)
    bare = save_gte(tokenizer, tmp_path / "bare")
    for file in bare.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match=r"bare: no tokenizer in it; expected one of tokenizer.json"):
        load_tagger(str(bare), 3, 0, 60)
    from transformers import T5Config

    T5Config(d_model=8).save_pretrained(tmp_path / "t5")
    with pytest.raises(DataError, match=r"t5: expected an encoder or a decoder, got t5, which is both"):
        load_tagger(str(tmp_path / "t5"), 3, 0, 60)
    broken = save_gte(tokenizer, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
    (broken / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), encoding="utf-8")
    with pytest.raises(DataError, match=r"broken: \d+ weights missing or misshapen \(layers.2"):
        load_tagger(str(broken), 3, 0, 60)
    fewer = save_gte(tokenizer, tmp_path / "fewer")
    tokenizer.add_tokens([f"more{i}" for i in range(200)])
    tokenizer.save_pretrained(fewer)
    beyond = replace(task.test, sentences=(Sentence(("more199",), ("B-LOC",)),))
    with pytest.raises(DataError, match=r"fewer: its tokenizer has the id 216, expected ids below 120"):
        probe_ner(str(fewer), replace(task, test=beyond), QUICK, "cpu")
    with pytest.raises(DataError, match=r"train: no word has a token within --max-length 2"):
        probe_ner(str(static), task, replace(QUICK, max_length=2), "cpu")
    with pytest.raises(DataError, match=r"validation loss of 14 epochs is no number; write a smaller --learning-rate"):
        probe_ner(str(static), task, replace(QUICK, learning_rate=1e38), "cpu")
    without = replace(task.test, sentences=(replace(task.test.sentences[0], tags=("O",) * 20),))
    with pytest.raises(DataError, match="test: no entity in it"):
        probe_ner(str(static), replace(task, test=without), QUICK, "cpu")
    unknown = replace(task.test, sentences=(replace(task.test.sentences[0], tags=("B-GPE",), line=7),))
    with pytest.raises(DataError, match=r"test:7: expected a type of train \(LOC, ORG, PER\), got 'GPE'"):
        replace(task, test=unknown)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"schedule": "cosine"}, "--schedule: expected adaptive or fixed, got cosine"),
        ({"token": "middle"}, "--token: expected first or last, got middle"),
        ({"epochs": 0}, "--epochs: expected 1 or more, got 0"),
        ({"batch": 0}, "--batch: expected 1 or more, got 0"),
        ({"learning_rate": math.nan}, "--learning-rate: expected a number above 0, got nan"),
        ({"share": 0.0}, r"--share: expected a share in \(0, 1\], got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, words):
    with pytest.raises(RecipeError, match=words):
        ProbeSettings(**setting)


def test_the_published_settings():
    assert ProbeSettings().last == 250 and ProbeSettings(schedule="fixed").last == 5

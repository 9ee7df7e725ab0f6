"""Made sentences: their entities are what the patterns say, in every language."""

import re

import pytest

from jql.errors import RecipeError
from jql.probe.labels import spans, to_bio
from jql.probe.made import ENTITIES, LANGUAGES, made_sentences


def test_made_sentences_have_the_entities_of_their_patterns():
    made = made_sentences(list(LANGUAGES), 300, "0/train")
    found = [span for sentence in made for span in spans(sentence.tags)]
    assert {kind for kind, _, _ in found} == set(ENTITIES)
    assert {end - start for _, start, end in found} == {1, 2}
    for sentence in made:
        assert len(sentence.words) == len(sentence.tags) and to_bio(sentence.tags, "bio") == list(sentence.tags)
        assert not any("{" in word or not word.strip() or " " in word for word in sentence.words)
        assert sentence.words[0][0] == sentence.words[0][0].upper() and sentence.words[-1] == "."


@pytest.mark.parametrize("language", LANGUAGES)
def test_with_entities_put_back_a_sentence_is_its_patterns(language):
    parts = LANGUAGES[language]
    days = "|".join(parts.days)

    def regex(pattern):
        found = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
        return found.replace("{DAY}", f"(?:{days})").replace("{NUMBER}", r"\d+").replace("{THING}", r"\w+(?: \w+)?")

    either = [regex(pattern) for pattern in parts.patterns]
    seen = set()
    for sentence in made_sentences([language], 300, "0"):
        words = list(sentence.words)
        for kind, start, end in reversed(spans(sentence.tags)):
            words[start:end] = [f"{{{kind}}}"]
        whole = " ".join(words)
        text = whole[0].lower() + whole[1:]
        fits = [(a, b) for a in either for b in [None, *either] for end in [f" {parts.joint} {b}" if b else ""]
                if any(re.fullmatch(rf"{a}{end} \.", form) for form in (text, whole))]  # fmt: skip
        assert fits, whole
        seen |= {pattern for pair in fits for pattern in pair}
    assert seen >= set(either)


def test_the_first_of_more_are_those_of_fewer_and_files_share_few_names():
    languages = list(LANGUAGES)
    train, test = made_sentences(languages, 400, "0/train"), made_sentences(languages, 100, "0/test")
    assert made_sentences(languages, 50, "0/train") == train[:50]
    names = [{" ".join(s.words[start:end]) for s in part for _, start, end in spans(s.tags)} for part in (train, test)]
    assert len(names[0] & names[1]) < 0.1 * len(names[1])


def test_a_name_may_be_a_person_a_place_or_a_company():
    kinds = {}
    for sentence in made_sentences(["eng_Latn"], 3000, "0"):
        for kind, start, end in spans(sentence.tags):
            if end == start + 1:
                kinds.setdefault(sentence.words[start], set()).add(kind)
    assert sum(len(found) > 1 for found in kinds.values()) > 200


def test_other_languages_are_refused():
    with pytest.raises(RecipeError, match=r"--language: expected one of eng_Latn, .*, got isl_Latn"):
        made_sentences(["isl_Latn"], 4, "0")

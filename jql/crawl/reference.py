"""datatrove's parts on our words: its tokenizer interface, and FineWeb2's filters, which our signals are held to."""

from functools import lru_cache
from typing import Any

from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.utils.word_tokenizers import WordTokenizer

from jql.crawl.signals import CHAR_DUP, MIN_STOP_WORDS, thresholds
from jql.crawl.words import split_words


class OurWords(WordTokenizer):  # type: ignore[misc]  # datatrove has no types
    """split_words where datatrove asks for a word tokenizer; a text is one sentence."""

    def word_tokenize(self, text: str) -> list[str]:
        """As split_words."""
        return split_words(text, str(self.language))

    def sent_tokenize(self, text: str) -> list[str]:
        """The text itself."""
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """The whole text."""
        return [(0, len(text))]


@lru_cache(64)
def reference_filters(language: str) -> tuple[Any, ...]:
    """The three filters as FineWeb2 sets them, in its order, with our words; none without thresholds."""
    limits = thresholds().get(language)
    if limits is None:
        return ()
    words = OurWords(language)
    return (
        GopherRepetitionFilter(
            dup_line_frac=limits.dup_line,
            dup_para_frac=None,
            dup_line_char_frac=None,
            dup_para_char_frac=None,
            top_n_grams=tuple(limits.top.items()),
            dup_n_grams=tuple(limits.dup.items()),
            language=words,
        ),
        FineWebQualityFilter(
            line_punct_thr=limits.line_punct,
            short_line_thr=999,
            char_duplicates_ratio=CHAR_DUP,
            new_line_ratio=limits.newline_ratio,
            language=words,
        ),
        GopherQualityFilter(
            min_avg_word_length=limits.min_word_length,
            max_avg_word_length=limits.max_word_length,
            max_non_alpha_words_ratio=limits.alpha_words,
            min_stop_words=MIN_STOP_WORDS,
            stop_words=sorted(limits.stop_words),
            language=words,
        ),
    )


def reference_reason(text: str, language: str) -> str | None:
    """The first rule that datatrove's filters say a text fails, or None."""
    from datatrove.data import Document

    for rule in reference_filters(language):
        result = rule.filter(Document(text=text, id=""))
        if result is not True:
            return str(result[1])
    return None

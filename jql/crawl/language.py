"""Which language a text is in: py3langid by default, its two weak spots (Serbo-Croatian, Norwegian) by marker words.

Measured on 41,909 web pages in 42 languages: benchmarks/results/language_id.json, made by benchmarks/language_id.py.
"""

import re
from pathlib import Path
from typing import Any, Protocol

from jql.crawl.close_languages import GROUPS, refine
from jql.crawl.language_codes import dominant_script, to_code
from jql.errors import RecipeError

TEXT_LIMIT = 2000  # characters read of a text; py3langid learnt from 3,000 bytes and its time grows with the length

# py3langid classes left out: they take 1.2 % of modern Greek pages (grc), 1.4 % of Chinese ones (yue, wuu).
LEFT_OUT = frozenset({"grc", "yue", "wuu"})


def head_of(text: str) -> str:
    """The first TEXT_LIMIT characters as valid Unicode on one line: no NUL, no lone surrogate."""
    return " ".join(text[:TEXT_LIMIT].encode("utf-8", "replace").decode().replace("\0", " ").split())


class LanguageIdentifier(Protocol):
    """What the pipeline asks of an identifier."""

    def identify(self, text: str) -> tuple[str, float]:
        """Code as in FineWeb-2 or "und", and a confidence in [0, 1]; any text gets an answer."""
        ...


class DefaultIdentifier:
    """py3langid 0.4 (139 languages, BSD-3-Clause, its model inside) with close languages refined; no network."""

    def __init__(self) -> None:
        import numpy
        from py3langid.langid import MODEL_FILE
        from py3langid.langid import LanguageIdentifier as Model

        self._model: Any = Model.from_model_file(MODEL_FILE, norm_probs=True)
        self._model.set_languages([label for label in self._model.labels if label not in LEFT_OUT])
        # Same answers 1.75 times as fast (1,280 -> 2,260 documents/s of 1 kB) for 53 MB more than its strided float16.
        self._model.nb_ptc = numpy.ascontiguousarray(self._model.nb_ptc, dtype=numpy.float32)

    def identify(self, text: str) -> tuple[str, float]:
        """Code and confidence in [0, 1]; ("und", 0.0) without a letter. Reads the first TEXT_LIMIT characters."""
        text = head_of(text)
        script = dominant_script(text)
        if not script:
            return "und", 0.0
        label, confidence = self._model.classify(text)
        code = to_code(label, script)
        for group in GROUPS:
            if code in group:
                if script == "Cyrl" and "srp_Latn" in group:  # Cyrillic that py3langid calls Bosnian or Croatian
                    return "srp_Cyrl", min(1.0, confidence)
                by_code = {to_code(label, script): share for label, share in self._model.rank(text)}
                shares = refine({member: by_code[member] for member in group}, text)
                code, confidence = max(shares.items(), key=lambda item: item[1])
        return code, min(1.0, confidence)


class FastTextIdentifier:
    """Any fastText language model: GlotLID's labels (deu_Latn) as they are, lid.176's (de) through the table."""

    def __init__(self, path: str | Path) -> None:
        import fasttext

        if not Path(path).is_file():
            raise RecipeError(f"language identifier {str(path)!r}: no such file; name a fastText model (.bin, .ftz)")
        try:
            self._model: Any = fasttext.load_model(str(path))
            labels = [label.removeprefix("__label__") for label in self._model.labels]
        except (ValueError, MemoryError) as error:
            raise RecipeError(
                f"language identifier {str(path)!r}: not a fastText model ({error}); name another"
            ) from error
        if not any(re.fullmatch(r"[a-z]{2,3}(_[A-Z][a-z]{3})?", label) for label in labels):
            raise RecipeError(
                f"language identifier {str(path)!r}: its labels {labels[:3]} are no languages; "
                "expected labels like __label__deu_Latn or __label__de; name a language model"
            )

    def identify(self, text: str) -> tuple[str, float]:
        """Code and confidence in [0, 1]; ("und", 0.0) without a letter. Reads the first TEXT_LIMIT characters."""
        text = head_of(text)
        script = dominant_script(text)
        if not script:
            return "und", 0.0
        labels, shares = self._model.predict(text)
        if not labels:
            return "und", 0.0
        return to_code(labels[0].removeprefix("__label__"), script), min(1.0, max(0.0, float(shares[0])))


def load_identifier(name: str) -> LanguageIdentifier:
    """The identifier named in a recipe: "default", the path of a fastText model, or "hf:owner/repo/file"."""
    if name == "default":
        return DefaultIdentifier()
    if not name.startswith("hf:"):
        return FastTextIdentifier(name)
    parts = name.removeprefix("hf:").split("/", 2)
    if len(parts) < 3 or not all(parts):
        raise RecipeError(f"language identifier {name!r}: write hf:owner/repo/file, as in hf:cis-lmu/glotlid/model.bin")
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(repo_id=f"{parts[0]}/{parts[1]}", filename=parts[2])
    except Exception as error:  # the hub raises its own, httpx's and the system's errors
        raise RecipeError(
            f"language identifier {name!r}: cannot be fetched ({error}); check the name or give a local file"
        ) from error
    return FastTextIdentifier(path)

"""Which language a text is in: py3langid by default, its two weak spots (Serbo-Croatian, Norwegian) by marker words.

Measured on 41,909 web pages in 42 languages: benchmarks/results/language_id.json, made by benchmarks/language_id.py.
"""

import functools
import math
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from jql.errors import RecipeError
from jql.languages import languages

TEXT_LIMIT = 2000  # characters read of a text; py3langid learnt from 3,000 bytes and its time grows with the length

# py3langid classes left out: they take 1.2 % of modern Greek pages (grc), 1.4 % of Chinese ones (yue, wuu).
LEFT_OUT = frozenset({"grc", "yue", "wuu"})


def pairs(text: str) -> dict[str, str]:
    """A dictionary from words like key:value."""
    return dict(word.split(":", 1) for word in text.split())


# ISO 639-1 labels of other languages, with the ISO 639-3 code that FineWeb-2 uses. `als` is Alemannic in lid.176.
OTHER_CODES = pairs("""
    af:afr als:gsw am:amh an:arg as:asm av:ava az:azj ba:bak be:bel bh:bho bn:ben bo:bod br:bre ce:che co:cos cv:chv
    cy:cym dv:div dz:dzo eml:egl eo:epo fa:fas fo:fao fy:fry gd:gla gn:gug gu:guj gv:glv ha:hau he:heb hi:hin ht:hat
    ia:ina id:ind ie:ile ig:ibo io:ido ja:jpn jv:jav kk:kaz km:khm kn:kan ko:kor ku:kmr kv:kpv kw:cor ky:kir la:lat
    lb:ltz lg:lug li:lim ln:lin lo:lao mg:plt ml:mal mn:khk mr:mar ms:zsm my:mya ne:npi oc:oci om:gaz or:ory os:oss
    pa:pan ps:pbt qu:que rm:roh ru:rus rw:kin sa:san sc:srd sd:snd se:sme sh:hbs si:sin sn:sna so:som st:sot su:sun
    sw:swh ta:tam te:tel tg:tgk tk:tuk tl:tgl tt:tat ug:uig ur:urd uz:uzn vi:vie vo:vol wa:wln xh:xho yi:ydd yo:yor
    zu:zul""")

# First word of a letter's Unicode name -> ISO 15924; other names count as Zyyy.
SCRIPTS = pairs("""
    LATIN:Latn CYRILLIC:Cyrl GREEK:Grek ARMENIAN:Armn GEORGIAN:Geor ARABIC:Arab HEBREW:Hebr THAI:Thai CJK:Hani
    HIRAGANA:Jpan KATAKANA:Jpan HANGUL:Hang DEVANAGARI:Deva BENGALI:Beng GURMUKHI:Guru GUJARATI:Gujr ORIYA:Orya
    TAMIL:Taml TELUGU:Telu KANNADA:Knda MALAYALAM:Mlym SINHALA:Sinh LAO:Laoo TIBETAN:Tibt MYANMAR:Mymr ETHIOPIC:Ethi
    KHMER:Khmr MONGOLIAN:Mong THAANA:Thaa SYRIAC:Syrc TIFINAGH:Tfng CHEROKEE:Cher""")

SCRIPT_OF = {"jpn": "Jpan", "kor": "Hang"}  # written in several scripts at once
GROUPS = (("bos_Latn", "hrv_Latn", "srp_Latn"), ("nob_Latn", "nno_Latn"))

# (languages that do not use the words, the words); `*` stands for any ending. Written by hand from the standard
# languages: Serbian has e where the others have (i)je; Croatian has its own names of months and much else of its own.
MARKERS = (
    (
        ("bos_Latn", "hrv_Latn"),
        """
    vreme vremen* umesto mesto mesta mestu mestim* gde negde nigde uvek pre deca dece deci decu decom dečij* lepo lepa
    lepi lepe lepš* reč reči rečima sledeć* ovde nedelj* delo dela delu delova delovi deo udeo telo tela telu čovek*
    posle mleko belo bela beli bele celo cela celi celu cele celog vest vesti uspeh* uspeš* uspeo uspel* rešen* reši*
    rešava* primer* izmen* promen* zamen* zahtev* sreda sredu cena cene cenu ceni cenama pesm* peva* reka reke mera
    mere meru merama mesec* dete detet* devoj* živet* živeo živel* želet* želeo želel* videti videl* razumet* voleti
    voleo volel* hteo htel* smešt* nasleđ* istorij* opšt* uopšte saopšt* takođe odsto spoljn* izvešta* obavešt*
    bezbedn* obezbed* hleb* vek veka veku vekova ponedelj* ocen* povred* upotreb* sused* lek lekar* levo leva levi levu
    cvet* zvezd* svetl* svetsk* savet* odeć* doneo donel* biće seća* nemačk* veruj* poveren* pobed* podel* dodel*
    delimičn* delovan* zabelež* severn* sever dve obe posled* veštin* svest vrednost* vredi menja* smer* poset* oseća*
    """,
    ),
    (
        ("srp_Latn",),
        """
    vrijem* umjesto mjest* gdje negdje nigdje uvijek prije djec* dječ* djet* lijep* ljepš* riječ* sljedeć* ovdje
    nedjelj* djelo djela djelu djelov* dio udio tijel* čovjek* poslije mlijek* bijel* cijel* vijest* uspjeh* uspješ*
    uspje* rješen* riješ* rješava* primjer* izmjen* promjen* zamjen* zahtjev* srijed* cijen* pjesm* pjeva* rijek*
    mjer* mjesec* djevoj* živjet* živio živjel* željet* želio željel* vidjet* vidio vidjel* razumjet* voljet* volio
    voljel* htio htjel* smješt* naslijeđ* općen* općin* uopće također izvješt* obavijest* vanjsk* ponedjelj* ocjen*
    povrijed* susjed* liječ* lijek* ljekar* lijev* cvijet* zvijezd* svijet* svjetsk* svjetl* savjet* odjeć* donijet*
    donio donijel* sjeć* njemačk* vjeruj* povjeren* pobjed* podijel* podjel* djelomičn* djelovan* zabiljež* sjever*
    posljed* vještin* vrijedn* mijenja* smjer* posjet* osjeć*
    """,
    ),
    (
        ("bos_Latn", "srp_Latn"),
        """
    tko netko nitko svatko tijekom tvrtk* tjedan tjedn* tisuć* milijun* obitelj* sustav* kazališ* glazb* povijest*
    sveučiliš* znanost* znanstven* zrakoplov* vlak točk* točn* uvjet* europ* priopć* dužnosni* glasnogovorni* siječanj
    siječnj* veljač* ožujak ožujk* travanj travnja travnju svibanj svibnj* lipanj lipnja lipnju srpanj srpnja srpnju
    rujan rujna rujnu listopad* studenoga studenom prosinac prosinc* izvješć* uhić* osobito trenutačn* sudjelova*
    suradnj* natječaj* momčad* redatelj* skladatelj* promet* putovnic* osobn* gospodarstv* vjerojatn* izravn*
    usporedb* ravnatelj* veleposlan* odvjetni* ljekarn* rajčic* mrkv* računal* zaslon* skupin* mirovin* proračun*
    """,
    ),
    (
        ("hrv_Latn",),
        """
    šta ko neko niko svako tokom veoma hiljad* milion* porodic* uslov* tačk* tačn* univerzitet* muzik* evrop* nauk*
    naučn* sistem* saradnj* učestv* učesni* preduzeć* fudbal* pozoriš* voz voza vozom januar* februar* aprila juna juni
    jula juli avgust* septembr* oktobr* novembr* decembr* sedmic* hemij* organizova* portparol* zvanič* vazduh*
    saobraćaj* prevoz* štampa* zemljotres* lično sopstven* ostrv* hrišćan* jevrej* fabrik* kafa kafe kafu uticaj*
    uticat* prisust* finansij* definisa* regulisa* realizova* sudij* advokat* ambasad* apotek* hirur* penzij* stepen*
    nivo nivoa nivou oblast* odbran* dešava* desio desil* paradajz* šargarep* izvinite
    """,
    ),
    (("hrv_Latn", "srp_Latn"), "historij* lahk* mehk* kahv* hljeb* vjerovatn* saopći* saopćen* uposleni* augusta"),
    (
        ("nob_Latn",),
        """
    ikkje eg ein eit dei frå noko nokon nokre kva korleis vere òg kjem berre mykje sjølv ho vert meir""",
    ),
    (
        ("nno_Latn",),
        """
    ikke jeg en et fra noe noen hva hvordan være også kommer bare mye selv hun mer blir dere""",
    ),
)


def marker_pattern(words: str) -> re.Pattern[str]:
    """A pattern finding any of the words as whole words in lower-cased text, `*` standing for any ending."""
    return re.compile(r"\b(?:" + "|".join(words.replace("*", r"\w*").split()) + r")\b")


MARKER_PATTERNS = tuple((strangers, marker_pattern(words)) for strangers, words in MARKERS)


def head_of(text: str) -> str:
    """The first TEXT_LIMIT characters as valid Unicode on one line: no NUL, no lone surrogate."""
    return " ".join(text[:TEXT_LIMIT].encode("utf-8", "replace").decode().replace("\0", " ").split())


@functools.lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """ISO 15924 code of one character, "Zyyy" for a script not in SCRIPTS, "" where it is no letter."""
    return SCRIPTS.get(unicodedata.name(letter, "").partition(" ")[0], "Zyyy") if letter.isalpha() else ""


def dominant_script(text: str) -> str:
    """ISO 15924 code of most letters, "Zyyy" for a script not in SCRIPTS, "" where the text has no letter."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        counts[script_of(character)] += count
    del counts[""]
    return counts.most_common(1)[0][0] if counts else ""


def known_labels() -> dict[str, str]:
    """Two-letter and three-letter labels of the languages in data/languages.csv, and `no`, which is Bokmål."""
    table = languages().values()
    return {**{x.code[:3]: x.code for x in table}, **{x.iso639_1: x.code for x in table}, "no": "nob_Latn"}


KNOWN = known_labels()


def to_code(label: str, script: str) -> str:
    """A model's label as `iso639-3_Script`, "und" where it names no language; `script` is that of the text."""
    if "_" in label:
        return label
    if label in ("sr", "srp"):
        return "srp_Cyrl" if script == "Cyrl" else "srp_Latn"
    if label in KNOWN and label not in OTHER_CODES:
        return KNOWN[label]
    iso3 = OTHER_CODES.get(label, label)
    if len(iso3) != 3 or iso3 in ("zxx", "und"):
        return "und"
    return f"{iso3}_{SCRIPT_OF.get(iso3, script)}"


def refine(shares: dict[str, float], text: str) -> dict[str, float]:
    """New shares (same sum) of closely related languages: each word that a language does not use counts against it."""
    # The model's share counts by its square root: among these languages it is too sure of itself (Serbian in Latin
    # letters: 10 of 166 news texts right with py3langid alone, 154 with the markers).
    scores = {code: 0.5 * math.log(max(share, 1e-3)) for code, share in shares.items()}
    lowered = text.lower()
    for strangers, pattern in MARKER_PATTERNS:
        if any(code in shares for code in strangers):
            found = len(pattern.findall(lowered))
            for code in strangers:
                scores[code] -= found
    best = max(scores.values())
    weights = {code: math.exp(score - best) for code, score in scores.items()}
    scale = sum(shares.values()) / sum(weights.values())
    return {code: weight * scale for code, weight in weights.items()}


class LanguageIdentifier(Protocol):
    """What the pipeline asks of an identifier."""

    def identify(self, text: str) -> tuple[str, float]:
        """Code as in FineWeb-2 or "und", and a confidence in [0, 1]; any text gets an answer."""
        ...


class DefaultIdentifier:
    """py3langid 0.4 (139 languages, BSD-3-Clause, its model inside) with close languages refined; no network."""

    def __init__(self) -> None:
        import numpy
        from py3langid.langid import MODEL_FILE  # type: ignore[import-untyped]
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
        import fasttext  # type: ignore[import-untyped]

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

"""Codes of languages and scripts: a model's labels, of whatever standard, as `iso639-3_Script`."""

import functools
import unicodedata
from collections import Counter

from jql.languages import languages


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

"""Sentences with known entities, made from patterns and invented names: something to try a probe on, in five languages.

Names are syllables put together, so that nearly all in a test file are new; the same name may be a person, a place or
a company, and ships and novels have such names too but are no entities. So what stands around a name must be read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from jql.errors import RecipeError
from jql.probe.conll import Sentence
from jql.probe.labels import Span, of_spans

ENTITIES = ("LOC", "ORG", "PER")


@dataclass(frozen=True)
class Language:
    """What sentences of a language are made of.

    Attributes:
        patterns: words and places for names, apart by blanks. joint: parts two patterns of one sentence.
        syllables: of names. before: stands before some places. after: stands after some companies. days: as words.
    """

    patterns: tuple[str, ...]
    joint: str
    syllables: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    days: tuple[str, ...]


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LATIN = "ba bel cor dan dor el fa fen gar hol im jo kal ker lan lis mar mon na nor os pa per ral ro sel ta tor ul ven"

LANGUAGES = {
    "eng_Latn": Language(
        (
            "{PER} was born in {LOC} in {NUMBER}",
            "on {DAY} {ORG} opened an office in {LOC}",
            "{ORG} has made {PER} its new director",
            "the train from {LOC} to {LOC} was late again",
            "our neighbour {PER} works for {ORG}",
            "they called the ship {THING}",
            "according to {PER} , prices at {ORG} will rise by {NUMBER} percent",
            "the bridge near {LOC} is {NUMBER} metres long",
            "I read the novel {THING} on {DAY}",
            "shares of {ORG} fell on {DAY}",
            "{PER} and {PER} met in {LOC}",
            "nobody answered the phone on {DAY}",
        ),
        "and",
        _parts(_LATIN + " ham ley wick ton worth"),
        _parts("North Lake Old"),
        _parts("Group Ltd Works"),
        _parts("Monday Tuesday Friday"),
    ),
    "deu_Latn": Language(
        (
            "{PER} wurde {NUMBER} in {LOC} geboren",
            "am {DAY} eröffnete {ORG} ein Büro in {LOC}",
            "{ORG} hat {PER} zum Leiter gemacht",
            "der Zug von {LOC} nach {LOC} hatte wieder Verspätung",
            "unser Nachbar {PER} arbeitet bei {ORG}",
            "das Schiff heißt {THING}",
            "laut {PER} steigen die Preise bei {ORG} um {NUMBER} Prozent",
            "die Brücke bei {LOC} ist {NUMBER} Meter lang",
            "am {DAY} las ich den Roman {THING}",
            "die Aktie von {ORG} fiel am {DAY}",
            "{PER} und {PER} trafen sich in {LOC}",
            "am {DAY} ging niemand ans Telefon",
        ),
        "und",
        _parts(_LATIN + " berg dorf stein wald bach"),
        _parts("Bad Alt Neu"),
        _parts("GmbH AG Werke"),
        _parts("Montag Dienstag Freitag"),
    ),
    "swe_Latn": Language(
        (
            "{PER} föddes i {LOC} år {NUMBER}",
            "i {DAY} öppnade {ORG} ett kontor i {LOC}",
            "{ORG} har utsett {PER} till ny chef",
            "tåget från {LOC} till {LOC} var sent igen",
            "vår granne {PER} arbetar på {ORG}",
            "båten heter {THING}",
            "enligt {PER} höjer {ORG} priserna med {NUMBER} procent",
            "bron vid {LOC} är {NUMBER} meter lång",
            "i {DAY} läste jag romanen {THING}",
            "aktien i {ORG} föll i {DAY}",
            "{PER} och {PER} träffades i {LOC}",
            "ingen svarade i telefonen i {DAY}",
        ),
        "och",
        _parts(_LATIN + " ström lund vik näs å"),
        _parts("Norra Södra Gamla"),
        _parts("AB Bruk Gruppen"),
        _parts("måndags tisdags fredags"),
    ),
    "spa_Latn": Language(
        (
            "{PER} nació en {LOC} en {NUMBER}",
            "el {DAY} {ORG} abrió una oficina en {LOC}",
            "{ORG} ha nombrado director a {PER}",
            "el tren de {LOC} a {LOC} llegó tarde otra vez",
            "nuestro vecino {PER} trabaja en {ORG}",
            "el barco se llama {THING}",
            "según {PER} , {ORG} subirá los precios un {NUMBER} por ciento",
            "el puente de {LOC} mide {NUMBER} metros",
            "el {DAY} leí la novela {THING}",
            "las acciones de {ORG} cayeron el {DAY}",
            "{PER} y {PER} se vieron en {LOC}",
            "nadie contestó al teléfono el {DAY}",
        ),
        "y",
        _parts(_LATIN + " ñor lla ría gue zo"),
        _parts("San Villa Puerto"),
        _parts("S.A. Hermanos Norte"),
        _parts("lunes martes viernes"),
    ),
    # Names in Ukrainian are declined, but not after the word for what they name.
    "ukr_Cyrl": Language(
        (
            "{PER} живе у місті {LOC}",
            "компанія {ORG} відкрила офіс у місті {LOC}",
            "новим директором став {PER}",
            "місто {LOC} лежить за {NUMBER} кілометрів від моря",
            "наш сусід {PER} працює на фірмі {ORG}",
            "корабель має назву {THING}",
            "фірма {ORG} підніме ціни на {NUMBER} відсотків",
            "село {LOC} відоме своїм мостом",
            "у {DAY} я читав роман {THING}",
            "у {DAY} фірма {ORG} закрила офіс у селі {LOC}",
            "{PER} та {PER} зустрілися у селі {LOC}",
            "у {DAY} ніхто не відповідав на дзвінки",
        ),
        "а",
        _parts("ба вер гор дан жи зо кал лан мар мир но ор пас рів сел та тур хо ча щук юр ян"),
        _parts("Новий Старий Верхній"),
        _parts("Груп Плюс Завод"),
        _parts("понеділок вівторок четвер"),
    ),
}


def made_sentences(languages: Sequence[str], count: int, seed: str) -> list[Sentence]:
    """Sentences of languages in turn; the same for the same arguments, and the first of more are those of fewer.

    Raises:
        RecipeError: there are no patterns for a language.
    """
    for language in languages:
        if language not in LANGUAGES:
            raise RecipeError(f"--language: expected one of {', '.join(LANGUAGES)}, got {language}")
    draw = Random(f"jql probe/{seed}")
    return [_sentence(LANGUAGES[languages[i % len(languages)]], draw) for i in range(count)]


def _sentence(language: Language, draw: Random) -> Sentence:
    patterns = draw.sample(language.patterns, draw.choice((1, 1, 2)))
    words: list[str] = []
    entities: list[Span] = []
    for place in [*f" {language.joint} ".join(patterns).split(), "."]:
        kind = place.strip("{}")
        filled = list(_filled(kind, language, draw)) if place.startswith("{") else [place]
        if kind in ENTITIES and place.startswith("{"):
            entities.append((kind, len(words), len(words) + len(filled)))
        words += filled
    words[0] = words[0][0].upper() + words[0][1:]
    return Sentence(tuple(words), tuple(of_spans(entities, len(words))))


def _filled(kind: str, language: Language, draw: Random) -> Iterator[str]:
    """The words for a place."""
    if kind == "DAY":
        yield draw.choice(language.days)
    elif kind == "NUMBER":
        yield str(draw.randint(12, 1999))
    else:
        wide = draw.random() < 0.5
        if kind == "LOC" and wide:
            yield draw.choice(language.before)
        if kind == "PER" and wide:
            yield _name(language, draw)
        yield _name(language, draw)
        if kind == "ORG" and wide:
            yield draw.choice(language.after)


def _name(language: Language, draw: Random) -> str:
    return "".join(draw.choices(language.syllables, k=draw.choice((2, 2, 3)))).capitalize()

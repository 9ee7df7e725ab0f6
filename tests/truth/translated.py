"""Made-up ground truth with translations, and a chat server that knows them by heart."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from llm.hostile import Act, http

from jql.languages import languages
from jql.schema import TRUTH

TEXTS = {
    "eng_Latn": "The old harbour was rebuilt after the storm of last winter.\nThe fishermen paid for half of it, and the town "
    "gave the rest.\n\nToday boat {n} went out for the first time, and everybody stood on the quay to watch it.",
    "deu_Latn": "Der alte Hafen wurde nach dem Sturm des letzten Winters wieder aufgebaut.\nDie Fischer bezahlten die Hälfte, "
    "und die Stadt gab den Rest.\n\nHeute fuhr Boot {n} zum ersten Mal hinaus, und alle standen am Kai und sahen zu.",
    "dan_Latn": "Den gamle havn blev genopbygget efter stormen sidste vinter.\nFiskerne betalte halvdelen, og byen gav resten."
    "\n\nI dag sejlede båd {n} ud for første gang, og alle stod på kajen for at se på det.",
    "fra_Latn": "Le vieux port a été reconstruit après la tempête de l'hiver dernier.\nLes pêcheurs en ont payé la moitié, et la "
    "ville a donné le reste.\n\nAujourd'hui le bateau {n} est sorti pour la première fois, et tout le monde regardait.",
    "cmn_Hani": "去年冬天的风暴过后，旧港口得到了重建。\n渔民们付了一半的钱，其余的由镇上承担。\n\n今天{n}号船第一次出海，大家都站在码头上观看。",
    "ell_Grek": "Το παλιό λιμάνι ξαναχτίστηκε μετά την καταιγίδα του περασμένου χειμώνα.\nΟι ψαράδες πλήρωσαν το μισό και η πόλη "
    "έδωσε το υπόλοιπο.\n\nΣήμερα το καΐκι {n} βγήκε για πρώτη φορά και όλοι στέκονταν στην προβλήτα.",
}


def text(code: str, n: int) -> str:
    return TEXTS[code].format(n=n)


def truth_rows(documents: int = 3, language: str = "eng_Latn") -> list[dict]:
    return [
        {
            "id": f"doc{n}",
            "source": f"doc{n}",
            "language": language,
            "text": text(language, n),
            "score": float(n % 6),
            "raters": ["ada", "bo"],
            "ratings": [float(n % 6), None],
            "rule": "majority",
            "guideline": "v1",
            "translator": None,
            "origin": "synthetic",
        }
        for n in range(documents)
    ]


def write_truth(path: Path, rows: list[dict]) -> str:
    pq.write_table(pa.Table.from_pylist(rows, TRUTH), path)
    return str(path)


def said(answer: str, finish: str = "stop", delay_s: float = 0.0) -> Act:
    """A server's answer, with 100 tokens sent and 50 answered."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": answer}}
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    body = {"object": "chat.completion", "model": "tiny", "choices": [choice], "usage": usage}
    return http(200, json.dumps(body).encode(), delay_s=delay_s)


def asked_for(prompt: str) -> tuple[str, int] | None:
    """Language and number of the document that a prompt asks for, None for any other prompt."""
    for code in TEXTS:
        if prompt.startswith(f"Translate this document into {languages()[code].name}:"):
            return code, int(prompt.partition("boat ")[2].partition(" ")[0])
    return None


Answer = Callable[[str, int], Act]


def translator(answer: Answer) -> Callable[[dict, int], Act]:
    """A script of the server: `answer` to language and number, "yes" to anything else."""

    def script(body: dict, seen: int) -> Act:
        asked = asked_for(body["messages"][-1]["content"])
        return answer(*asked) if asked else said("yes")

    return script


def honest(code: str, n: int) -> Act:
    return said(text(code, n))


def asked(server) -> list[tuple[str, int]]:
    """What the server was asked to translate, in order."""
    return [found for found in map(asked_for, server.prompts) if found]

"""The words by which chat models announce and annotate a translation, as fragments of regular expressions.

Written by hand for this. They are matched without regard to case, and hold no group that captures.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """Of a language: how "here is" begins a line, the noun "translation", how the language's own name begins."""

    here: str
    translation: str
    own_name: str


_ENGLISH = r"here(?:['’]s| is| are| comes)\b|below is\b|(?:the )?following is\b|this is (?:the|your)\b|please find\b"

WORDS = {
    "eng_Latn": Words(_ENGLISH, "translation", "english"),
    "bul_Cyrl": Words(r"ето\b|следва\b", "превод", "българск"),
    "ces_Latn": Words(r"zde je\b|tady je\b|níže je\b|toto je\b", "překlad", "česk|češtin"),
    "hrv_Latn": Words(r"evo\b|ovdje je\b|slijedi\b", "prijevod", "hrvatsk"),
    "dan_Latn": Words(r"her er\b|her følger\b|her kommer\b", "oversættelse", "dansk"),
    "deu_Latn": Words(
        r"hier (?:ist|kommt|die|folgt|finden sie)\b|nachfolgend\b|anbei\b|im folgenden\b", "übersetzung", "deutsch"
    ),
    "ell_Grek": Words(r"εδώ είναι\b|ορίστε\b|ακολουθεί\b|παρακάτω\b", "μετάφραση", "ελληνικ"),
    "ekk_Latn": Words(r"siin on\b|siin\b|järgneb\b", "tõlge", "eesti"),
    "fin_Latn": Words(r"tässä\b|ohessa\b|alla on\b", "käännös|suomennos", "suom"),
    "fra_Latn": Words(r"voici\b|voilà\b|ci-dessous\b", "traduction", "français"),
    "gle_Latn": Words(r"seo\b|is é seo\b", "aistriúchán", "gaeilge"),
    "ita_Latn": Words(r"ecco\b|di seguito\b|questa è\b", "traduzione", "italian"),
    "lvs_Latn": Words(r"šeit ir\b|lūk\b|te ir\b", "tulkojum", "latvie"),
    "lit_Latn": Words(r"štai\b|čia yra\b|pateikiu\b", "vertimas", "lietuvi"),
    "mlt_Latn": Words(r"hawn\b|din hija\b|hawnhekk\b", "traduzzjoni", "malti"),
    "nld_Latn": Words(r"hier is\b|hier volgt\b|dit is\b|hieronder\b", "vertaling", "nederlands"),
    "pol_Latn": Words(r"oto\b|poniżej\b|to jest\b", "tłumaczenie|przekład", "polsk"),
    "por_Latn": Words(r"aqui está\b|aqui vai\b|segue\b|eis\b|a seguir\b", "tradução", "português"),
    "ron_Latn": Words(r"iată\b|aici este\b|mai jos\b", "traducere", "român"),
    "swe_Latn": Words(r"här är\b|här kommer\b|här följer\b", "översättning", "svensk"),
    "slk_Latn": Words(r"tu je\b|nižšie je\b|toto je\b", "preklad", "slovensk|slovenčin"),
    "slv_Latn": Words(r"tukaj je\b|tu je\b|sledi\b|to je\b", "prevod", "slovensk|slovenščin"),
    "spa_Latn": Words(r"aquí (?:está|tienes|tiene|va)\b|a continuación\b|esta es\b", "traducción", "español"),
    "hun_Latn": Words(r"íme\b|itt (?:van|a|az)\b|alább\b|tessék\b", "fordítás", "magyar"),
    "srp_Cyrl": Words(r"ево\b|овде је\b|следи\b", "превод", "српск"),
    "srp_Latn": Words(r"evo\b|ovde je\b|sledi\b", "prevod", "srpsk"),
    "tur_Latn": Words(r"[iİ]̇?şte\b|aşağıda\b|buyurun\b", "çeviri|tercüme", "türkçe"),
    "eus_Latn": Words(r"hona\b|hemen\b", "itzulpen", "euskara"),
    "glg_Latn": Words(r"aquí (?:está|tes|ten|vai)\b|velaquí\b|a continuación\b", "tradución", "galeg"),
    "bos_Latn": Words(r"evo\b|ovdje je\b|slijedi\b", "prijevod|prevod", "bosansk"),
    "cat_Latn": Words(r"aquí (?:està|tens|teniu|té)\b|heus aquí\b|a continuació\b", "traducció", "català|catalan"),
    "kat_Geor": Words(r"აი\b|აქ არის\b|ქვემოთ\b", "თარგმანი", "ქართულ"),
    "isl_Latn": Words(r"hér er\b|hér kemur\b|hér fyrir neðan\b", "þýðing", "íslensk"),
    "mkd_Cyrl": Words(r"еве\b|следува\b|ова е\b", "превод", "македонск"),
    "nob_Latn": Words(r"her er\b|her følger\b|her kommer\b", "oversettelse", "norsk|bokmål"),
    "nno_Latn": Words(r"her er\b|her følgjer\b|her kjem\b", "omsetjing|omsetting|oversetting", "nynorsk"),
    "als_Latn": Words(r"ja\b|këtu është\b|më poshtë\b|ky është\b", "përkthim", "shqip"),
    "ukr_Cyrl": Words(r"ось\b|нижче\b|це\b", "переклад", "українськ"),
    "hye_Armn": Words(r"ահա\b|ստորև\b|այստեղ\b", "թարգմանություն", "հայերեն"),
    "arb_Arab": Words(r"إليك|إليكم|فيما يلي|هذه هي|هذا هو|هنا", "(?:ال)?ترجمة", "(?:ال)?عربية"),
    "tha_Thai": Words(r"นี่คือ|ต่อไปนี้คือ|ด้านล่าง", "คำแปล|การแปล|ฉบับแปล", "ภาษาไทย|ไทย"),
    "cmn_Hani": Words(
        r"以下是|以下为|下面是|这是|这里是|這是|以下為", "翻译|译文|翻譯|譯文", "中文|简体中文|汉语|繁體中文"
    ),
}
"""Language -> its words; of the noun, endings of up to two letters may follow."""

INTERJECTIONS = """
sure|certainly|of course|absolutely|okay|ok|yes|great|no problem|happy to help|gladly|selvfølgelig|natürlich|gerne|klar
bien sûr|claro|por supuesto|certo|certamente|natuurlijk|oczywiście|självklart|selvsagt|totta kai|muidugi|jistě
samozřejmě|samozrejme|seveda|naravno|természetesen|desigur|sigur|разбира се|звісно|звичайно|наравно|βεβαίως|φυσικά
elbette|tabii
""".strip().replace("\n", "|")
"""What may stand before the announcement, on its line or on one of its own."""

NOTES = """
notes?|translator['’]?s'? notes?|remarks?|comments?|disclaimer|забележка|poznámka|napomena|bemærk|bemærkning|hinweis
anmerkung|σημείωση|märkus|huomautus|huom|remarque|nóta|nota|piezīme|pastaba|opmerking|let op|uwaga|notă|anmärkning|obs
opomba|megjegyzés|напомена|белешка|not|oharra|შენიშვნა|athugið|athugasemd|merknad|merk|shënim|примітка|ծանոթություն
ملاحظة|หมายเหตุ|注|注意|说明|備註|备注
""".strip().replace("\n", "|")
"""How a remark at the end begins, before its colon."""

"""Language identification: sentences in every language, hopeless input, fastText models, errors."""

import subprocess
import sys
from pathlib import Path

import py3langid
import pytest

from jql.crawl import close_languages
from jql.crawl.language import TEXT_LIMIT, FastTextIdentifier, LanguageIdentifier, head_of, load_identifier
from jql.crawl.language_codes import dominant_script, to_code
from jql.errors import RecipeError
from jql.languages import languages

SENTENCES = {
    "bul_Cyrl": "Учителката обясни на децата защо листата падат през есента. След това всички излязоха на двора.",
    "ces_Latn": "Učitelka dětem vysvětlila, proč na podzim padá listí. Potom všichni společně vyšli ven na dvůr.",
    "hrv_Latn": "Tko želi sudjelovati u natječaju, treba do kraja tjedna poslati prijavu sveučilištu. Uvjeti su točno "
    "opisani, a suradnja s tvrtkama iz Europe počinje u rujnu.",
    "dan_Latn": "Læreren forklarede børnene, hvorfor bladene falder om efteråret. Bagefter gik de alle ud i gården, "
    "selv om det regnede, og så blev de hentet af deres forældre.",
    "deu_Latn": "Die Lehrerin erklärte den Kindern, warum im Herbst die Blätter fallen. Danach gingen alle hinaus.",
    "ell_Grek": "Η δασκάλα εξήγησε στα παιδιά γιατί τα φύλλα πέφτουν το φθινόπωρο. Μετά βγήκαν όλοι στην αυλή.",
    "ekk_Latn": "Õpetaja selgitas lastele, miks lehed sügisel langevad. Pärast seda läksid kõik koos õue mängima.",
    "fin_Latn": "Opettaja selitti lapsille, miksi lehdet putoavat syksyllä. Sen jälkeen kaikki menivät pihalle.",
    "fra_Latn": "La maîtresse a expliqué aux enfants pourquoi les feuilles tombent en automne. "
    "Ensuite, ils sont sortis.",
    "gle_Latn": "Mhínigh an múinteoir do na páistí cén fáth a dtiteann na duilleoga san fhómhar. Ansin chuaigh siad "
    "go léir amach sa chlós.",
    "ita_Latn": "La maestra ha spiegato ai bambini perché le foglie cadono in autunno. Poi sono usciti tutti insieme.",
    "lvs_Latn": "Skolotāja bērniem paskaidroja, kāpēc rudenī krīt lapas. Pēc tam visi kopā izgāja pagalmā spēlēties.",
    "lit_Latn": "Mokytoja vaikams paaiškino, kodėl rudenį krinta lapai. Paskui visi kartu išėjo į kiemą žaisti.",
    "mlt_Latn": "L-għalliema spjegat lit-tfal għaliex il-weraq jaqa' fil-ħarifa. Wara ħarġu kollha jilagħbu barra.",
    "nld_Latn": "De juf legde de kinderen uit waarom de bladeren in de herfst vallen. Daarna gingen "
    "ze allemaal naar buiten.",
    "pol_Latn": "Nauczycielka wyjaśniła dzieciom, dlaczego jesienią spadają liście. Potem wszyscy wyszli na podwórko.",
    "por_Latn": "A professora explicou às crianças por que as folhas caem no outono. Depois todos saíram para o pátio.",
    "ron_Latn": "Învățătoarea le-a explicat copiilor de ce cad frunzele toamna. Apoi au ieșit cu toții în curte.",
    "swe_Latn": "Läraren förklarade för barnen varför löven faller på hösten. Sedan gick alla ut på gården och lekte.",
    "slk_Latn": "Učiteľka deťom vysvetlila, prečo na jeseň padá lístie. Potom všetci spoločne vyšli von na dvor.",
    "slv_Latn": "Učiteljica je otrokom razložila, zakaj jeseni odpada listje. Potem so vsi skupaj odšli na dvorišče.",
    "spa_Latn": "La maestra explicó a los niños por qué caen las hojas en otoño. Después salieron "
    "todos juntos al patio.",
    "hun_Latn": "A tanárnő elmagyarázta a gyerekeknek, miért hullanak ősszel a levelek. Utána "
    "mindenki kiment az udvarra.",
    "eng_Latn": "The teacher explained to the children why leaves fall in autumn. Afterwards they all went outside.",
    "srp_Cyrl": "Учитељица је деци објаснила зашто лишће опада у јесен. После тога су сви заједно изашли у двориште.",
    "srp_Latn": "Učiteljica je deci objasnila zašto lišće opada u jesen. Posle toga su svi izašli u dvorište, jer je "
    "vreme bilo lepo, a dvoje dece je videlo belog zeca pored reke.",
    "tur_Latn": "Öğretmen çocuklara sonbaharda yaprakların neden döküldüğünü anlattı. Sonra hep "
    "birlikte bahçeye çıktılar.",
    "eus_Latn": "Irakasleak haurrei azaldu zien zergatik erortzen diren hostoak udazkenean. Gero "
    "denak patiora atera ziren.",
    "glg_Latn": "A mestra explicoulles aos nenos por que caen as follas no outono. Despois saíron "
    "todos xuntos ao patio "
    "e xogaron ata que chegou a hora de xantar.",
    "bos_Latn": "Historija ovog grada lahko se može vidjeti u muzeju, a vjerovatno ćete tu popiti i "
    "dobru kahvu. Općina "
    "je saopćila da će ulaz biti besplatan tokom cijele sedmice u januaru.",
    "cat_Latn": "La mestra va explicar als nens per què cauen les fulles a la tardor. Després van sortir tots al pati.",
    "kat_Geor": "მასწავლებელმა ბავშვებს აუხსნა, რატომ ცვივა ფოთლები შემოდგომაზე. შემდეგ ყველა ერთად ეზოში გავიდა.",
    "isl_Latn": "Kennarinn útskýrði fyrir börnunum hvers vegna laufin falla á haustin. Síðan fóru "
    "allir út að leika sér.",
    "mkd_Cyrl": "Учителката им објасни на децата зошто паѓаат лисјата наесен. Потоа сите заедно излегоа во дворот.",
    "nob_Latn": "Læreren forklarte barna hvorfor bladene faller om høsten. Etterpå gikk alle ut i skolegården, selv om "
    "det regnet mye, og noen av dem ble ikke hentet før klokken fire.",
    "nno_Latn": "Læraren forklarte borna kvifor blada fell om hausten. Etterpå gjekk alle ut i skulegarden, sjølv om "
    "det regna mykje, og nokre av dei vart ikkje henta før klokka fire.",
    "als_Latn": "Mësuesja u shpjegoi fëmijëve pse bien gjethet në vjeshtë. Pastaj të gjithë dolën bashkë në oborr.",
    "ukr_Cyrl": "Учителька пояснила дітям, чому восени опадає листя. Потім усі разом вийшли на подвір'я гратися.",
    "hye_Armn": "Ուսուցչուհին երեխաներին բացատրեց, թե ինչու են տերևներն աշնանը թափվում։ Հետո բոլորը դուրս եկան բակ։",
    "arb_Arab": "شرحت المعلمة للأطفال لماذا تسقط أوراق الشجر في الخريف. بعد ذلك خرج الجميع معا إلى ساحة المدرسة.",
    "tha_Thai": "ครูอธิบายให้เด็กๆ ฟังว่าทำไมใบไม้จึงร่วงในฤดูใบไม้ร่วง หลังจากนั้นทุกคนก็ออกไปเล่นที่สนาม",
    "cmn_Hani": "老师向孩子们解释了为什么树叶会在秋天落下。然后大家一起走到院子里玩游戏,直到父母来接他们回家。",
}
OTHERS = {
    "rus_Cyrl": "Учительница объяснила детям, почему осенью опадают листья. Потом все вместе вышли во двор играть.",
    "bel_Cyrl": "Настаўніца патлумачыла дзецям, чаму ўвосень ападае лісце. Потым усе разам выйшлі на двор гуляць.",
    "jpn_Jpan": "先生は子どもたちに、なぜ秋に葉が落ちるのかを説明しました。それからみんなで校庭に出て遊びました。",
    "kor_Hang": "선생님은 아이들에게 왜 가을에 나뭇잎이 떨어지는지 설명해 주셨다. 그런 다음 모두 함께 마당으로 나갔다.",
    "heb_Hebr": "המורה הסבירה לילדים מדוע העלים נושרים בסתיו. אחר כך יצאו כולם יחד לחצר לשחק.",
    "fas_Arab": "معلم برای بچه‌ها توضیح داد که چرا برگ‌ها در پاییز می‌ریزند. سپس همه با هم به حیاط رفتند.",
    "vie_Latn": "Cô giáo giải thích cho các em vì sao lá rụng vào mùa thu. Sau đó tất cả cùng nhau ra sân chơi.",
}


@pytest.fixture(scope="module")
def default() -> LanguageIdentifier:
    return load_identifier("default")


def test_a_sentence_for_every_language() -> None:
    assert set(SENTENCES) == set(languages())


@pytest.mark.parametrize(("code", "text"), [*SENTENCES.items(), *OTHERS.items()])
def test_sentences(default: LanguageIdentifier, code: str, text: str) -> None:
    found, confidence = default.identify(text)
    assert found == code
    assert 0.3 < confidence <= 1.0
    assert default.identify(text) == (found, confidence)


def test_serbian_script_follows_the_letters(default: LanguageIdentifier) -> None:
    mostly_cyrillic = SENTENCES["srp_Cyrl"] * 3 + " Copyright Studio Press"
    assert default.identify(mostly_cyrillic)[0] == "srp_Cyrl"
    assert to_code("sr", "Cyrl") == "srp_Cyrl"
    assert to_code("sr", "Latn") == "srp_Latn"


MARKED = {
    "srp_Latn": "Predsednik vlade je izjavio da će sledeće nedelje biti održan sastanak sa predstavnicima sindikata, "
    "posle čega će biti doneto rešenje o ceni struje.",
    "bos_Latn": "Hljeb se pravi od brašna i vode, a vjerovatno ga je lahko ispeći i kod kuće; potrebno je samo malo "
    "strpljenja i mehko tijesto.",
}


@pytest.mark.parametrize(("code", "text"), MARKED.items())
def test_markers_decide_where_the_model_alone_is_wrong(default: LanguageIdentifier, code: str, text: str) -> None:
    found, confidence = default.identify(text)
    assert found == code
    assert confidence > 0.9
    assert to_code(py3langid.classify(text)[0], "Latn") != code


def test_ijekavian_is_not_serbian_latin(default: LanguageIdentifier) -> None:
    text = "Iduće nedjelje bit će lijepo vrijeme, pa će djeca uvijek moći vidjeti svijet i čuti lijepu riječ."
    assert default.identify(text)[0] in ("bos_Latn", "hrv_Latn")


def test_refining_keeps_the_sum_and_follows_the_words() -> None:
    shares = {"bos_Latn": 0.5, "hrv_Latn": 0.3, "srp_Latn": 0.1}
    refined = close_languages.refine(shares, "Gde je lepo vreme? Ovde, uvek i pre.")
    assert sum(refined.values()) == pytest.approx(0.9)
    assert max(refined, key=lambda code: refined[code]) == "srp_Latn"
    unmarked = close_languages.refine(shares, "Zagreb 2020")
    assert sorted(unmarked, key=lambda code: -unmarked[code]) == ["bos_Latn", "hrv_Latn", "srp_Latn"]


def test_marker_words_are_whole_words() -> None:
    pattern = close_languages.marker_pattern("vek uspeh*")
    assert pattern.findall("vek uspehom čovek uspe") == ["vek", "uspehom"]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\0\0\0", "12345 67.8 %", "😀😃🎉👍🏽", "\ud800\udfff", "...---..."])
def test_no_letters_is_und(default: LanguageIdentifier, text: str) -> None:
    assert default.identify(text) == ("und", 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "字" * 1_000_000,
        "\0Guten\0Tag\0" * 50,
        "Guten Tag \ud83d und auf Wiedersehen \udc00",
        "x",
        "\u0301" * 5000,
        "ﷺ" * 3000,
        "𐍈𐌰𐌽" * 100,
        "<div><a href='x'>" * 500,
        "\ufffe\uffff abc",
    ],
)
def test_hopeless_text_gets_an_answer(default: LanguageIdentifier, text: str) -> None:
    code, confidence = default.identify(text)
    assert code == "und" or len(code) == 8
    assert 0.0 <= confidence <= 1.0


def test_nul_and_surrogates_do_not_hide_the_language(default: LanguageIdentifier) -> None:
    text = SENTENCES["deu_Latn"].replace(" ", "\0 ") + "\ud800"
    assert default.identify(text)[0] == "deu_Latn"


def test_only_the_head_is_read(default: LanguageIdentifier) -> None:
    german = (SENTENCES["deu_Latn"] + " ") * 40
    assert len(german) > TEXT_LIMIT
    assert default.identify(german + SENTENCES["fra_Latn"] * 100) == default.identify(german)
    assert len(head_of(german)) <= TEXT_LIMIT


def test_dominant_script() -> None:
    assert dominant_script("abcd где") == "Latn"
    assert dominant_script("где я a") == "Cyrl"
    assert dominant_script("123 !") == ""
    assert dominant_script("𐍈") == "Zyyy"


@pytest.mark.parametrize(
    ("label", "script", "code"),
    [
        ("deu_Latn", "Latn", "deu_Latn"),
        ("zho_Hans", "Hani", "zho_Hans"),
        ("de", "Latn", "deu_Latn"),
        ("deu", "Latn", "deu_Latn"),
        ("no", "Latn", "nob_Latn"),
        ("nb", "Latn", "nob_Latn"),
        ("sq", "Latn", "als_Latn"),
        ("als", "Latn", "gsw_Latn"),  # Alemannic in lid.176
        ("zh", "Hani", "cmn_Hani"),
        ("ru", "Cyrl", "rus_Cyrl"),
        ("uz", "Cyrl", "uzn_Cyrl"),
        ("ja", "Hani", "jpn_Jpan"),
        ("ceb", "Latn", "ceb_Latn"),
        ("zxx", "Latn", "und"),
        ("xx", "Latn", "und"),
    ],
)
def test_labels(label: str, script: str, code: str) -> None:
    assert to_code(label, script) == code


def train(folder: Path, labels: dict[str, str], name: str) -> Path:
    """A toy fastText model; in its own process and over 32 MiB, else fastText 0.9.2 may train from stale memory."""
    lines = [f"__label__{label} {text}" for label, text in labels.items() for _ in range(200)]
    corpus, model = folder / f"{name}.txt", folder / f"{name}.bin"
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    script = (
        "import sys, fasttext\n"
        "m = fasttext.train_supervised(sys.argv[1], dim=90, bucket=100000, minn=2, maxn=3, epoch=5, lr=0.5, thread=1,"
        " verbose=0)\n"
        "m.save_model(sys.argv[2])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(corpus), str(model)], check=True, timeout=120)
    return model


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = {
        "deu_Latn": SENTENCES["deu_Latn"],
        "fr": SENTENCES["fra_Latn"],
        "ru": OTHERS["rus_Cyrl"],
        "sr": SENTENCES["srp_Cyrl"],
    }
    return train(tmp_path_factory.mktemp("toy"), texts, "toy")


def test_fasttext_model(toy: Path) -> None:
    identifier = load_identifier(str(toy))
    assert isinstance(identifier, FastTextIdentifier)
    for code in ("deu_Latn", "fra_Latn", "srp_Cyrl"):
        found, confidence = identifier.identify(SENTENCES[code])
        assert found == code
        assert 0.5 < confidence <= 1.0
    assert identifier.identify(OTHERS["rus_Cyrl"])[0] == "rus_Cyrl"
    assert identifier.identify("Die Lehrerin\nerklärte\0 den Kindern \ud800 den Herbst")[0] == "deu_Latn"
    assert identifier.identify("") == ("und", 0.0)
    assert identifier.identify("😀 123") == ("und", 0.0)
    assert identifier.identify("a" * 1_000_000)[1] <= 1.0


def test_missing_file() -> None:
    with pytest.raises(RecipeError, match=r"'/nowhere/lid.bin': no such file; name a fastText model"):
        load_identifier("/nowhere/lid.bin")


def test_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "lid.bin"
    path.write_bytes(b"this is no model")
    with pytest.raises(RecipeError, match="not a fastText model"):
        load_identifier(str(path))


def test_model_of_something_else(tmp_path: Path) -> None:
    path = train(tmp_path, {"positive": "good fine nice", "negative": "bad poor sad"}, "mood")
    with pytest.raises(RecipeError, match="are no languages"):
        load_identifier(str(path))


@pytest.mark.parametrize("name", ["hf:", "hf:owner", "hf:owner/repo", "hf:owner//file"])
def test_malformed_hub_name(name: str) -> None:
    with pytest.raises(RecipeError, match="write hf:owner/repo/file"):
        load_identifier(name)


def test_hub_model_is_fetched_by_name(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def fetch(repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        return str(toy)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    identifier = load_identifier("hf:cis-lmu/glotlid/models/model.bin")
    assert asked == [("cis-lmu/glotlid", "models/model.bin")]
    assert identifier.identify(SENTENCES["deu_Latn"])[0] == "deu_Latn"


def test_hub_failure_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repo_id: str, filename: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(RecipeError, match=r"cannot be fetched \(no network\)"):
        load_identifier("hf:owner/repo/model.bin")

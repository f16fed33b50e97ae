"""The guard against copying: what is blocked, what is to be looked at, what passes, and that no text can hang it."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bot.demo.sample_blog import load_posts
from bot.pipeline import closeness
from bot.pipeline.closeness import LONGEST_RUN, READ, Nearest, Rule, TextIndex, Tier, Verdict, judge
from bot.posts import Blog
from bot.store import posts
from bot.store.database import Database
from bot.tumblr.npf import read_post

Place = closeness.Place


def place(number: int) -> Place:
    return "t:a", f"{number:03}"


def judge_among(text: str, texts: Mapping[Place, str], allowed: Sequence[str] = ()) -> Verdict:
    return judge(text, TextIndex(texts).nearest(text, allowed), texts, allowed)


def against(text: str, *sources: str, allowed: tuple[str, ...] = ()) -> Verdict:
    return judge_among(text, {place(number): source for number, source in enumerate(sources)}, allowed)


def kind(verdict: Verdict) -> tuple[Tier, Rule | None]:
    return verdict.tier, verdict.rule


def words(count: int, name: str = "w") -> str:
    """So many words; with another name, others."""
    return " ".join(f"{name}{number}" for number in range(count))


def scrambled(count: int, name: str) -> str:
    """Words that look like nothing else."""
    dice = random.Random(name)
    return " ".join("".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(count))


CLEAR = (Tier.CLEAR, None)
POST = "the lamp was lit at dusk and nobody came up the stairs before the kettle had boiled twice"
OTHER = "a gull sat on the rail all morning, looking as if the whole harbour were its own property"

# --- each rule ------------------------------------------------------------------------------------------------


def test_a_copy_is_blocked_and_the_verdict_says_of_what():
    verdict = against(POST.upper() + "!", OTHER, POST)
    assert verdict == Verdict(Tier.BLOCK, 100, Rule.SAME, place(1), POST, 18, 100, 1)


def test_eight_words_in_a_row_are_blocked_wherever_they_stand():
    common = scrambled(8, "common")
    text = f"{scrambled(40, 'a')} {common} {scrambled(40, 'b')}"
    source = f"{scrambled(30, 'c')} {common} {scrambled(50, 'd')}"
    verdict = against(text, source)
    assert kind(verdict) == (Tier.BLOCK, Rule.RUN)
    assert (verdict.run, verdict.shared, verdict.source) == (8, common, place(0))
    assert verdict.likeness < 80
    assert verdict.share < 0.2
    assert verdict.closeness == round(100 * 8 / 88)


def test_seven_words_in_a_row_are_to_be_looked_at_and_six_are_not():
    def verdict(count: int) -> Verdict:
        common = scrambled(count, "common")
        text = f"{scrambled(40, 'a')} {common} {scrambled(40, 'b')}"
        return against(text, f"{scrambled(30, 'c')} {common} {scrambled(50, 'd')}")

    assert kind(verdict(7)) == (Tier.LOOK, Rule.RUN)
    assert verdict(7).share < 0.2
    assert kind(verdict(6)) == CLEAR


def test_an_edited_copy_is_blocked_although_no_long_run_is_left():
    source = scrambled(30, "source").split()
    text = " ".join("else" if number % 5 == 4 else word for number, word in enumerate(source))
    verdict = against(text, " ".join(source))
    assert kind(verdict) == (Tier.BLOCK, Rule.ALIKE)
    assert (verdict.run, verdict.share) == (4, 0)
    assert verdict.likeness >= 80
    assert verdict.closeness == 0


def test_an_edited_copy_inside_other_words_is_blocked():
    source = scrambled(24, "source").split()
    edited = " ".join("else" if number % 6 == 5 else word for number, word in enumerate(source))
    text = f"{scrambled(60, 'a')} {edited} {scrambled(60, 'b')}"
    assert kind(against(text, " ".join(source))) == (Tier.BLOCK, Rule.ALIKE)


def test_a_fifth_of_the_runs_of_five_words_is_to_be_looked_at():
    """One run of six in fourteen words: two of its ten runs of five. With a word more they are two of eleven."""
    common = scrambled(6, "common")
    source = f"{scrambled(20, 'c')} {common} {scrambled(20, 'd')}"
    verdict = against(f"{scrambled(4, 'a')} {common} {scrambled(4, 'b')}", source)
    assert kind(verdict) == (Tier.LOOK, Rule.SHARE)
    assert (verdict.share, verdict.run, verdict.shared) == (0.2, 6, common)
    assert kind(against(f"{scrambled(4, 'a')} {common} {scrambled(5, 'b')}", source)) == CLEAR


def test_half_a_copy_is_to_be_looked_at():
    """Runs of six, parted by other words: too short to be blocked, and too much else to be alike."""
    source = [scrambled(6, f"s{number}") for number in range(3)]
    text = " ".join(f"{scrambled(4, f'x{number}')} {run}" for number, run in enumerate(source))
    verdict = against(text, f" {scrambled(6, 'gap')} ".join(source) + f" {scrambled(40, 'tail')}")
    assert kind(verdict) == (Tier.LOOK, Rule.SHARE)


def test_the_stricter_finding_and_then_the_longer_run_wins_wherever_it_stands():
    eight, nine = scrambled(8, "eight"), scrambled(9, "nine")
    text = f"{scrambled(30, 'a')} {eight} {scrambled(30, 'b')} {nine} {scrambled(30, 'c')}"
    sources = [f"{scrambled(30, f'p{n}')} {run} {scrambled(30, f'q{n}')}" for n, run in enumerate((eight, nine))]
    for order in (sources, sources[::-1]):
        assert against(text, *order).shared == nine
    # A longer run in a text that is only alike does not matter: what is blocked comes before what is looked at.
    looked = f"{' '.join(nine.split()[:7])} {scrambled(40, 'd')}"
    edited = " ".join("else" if number % 5 == 4 else word for number, word in enumerate(text.split()))
    assert against(edited, text, looked).source == place(0)


# --- short texts ----------------------------------------------------------------------------------------------

SEVEN = "the lamp was lit at dusk today"


def test_short_posts_are_compared_as_a_whole_and_nothing_else():
    assert kind(against("The lamp was lit, at DUSK today!", SEVEN)) == (Tier.BLOCK, Rule.SAME)
    assert against(SEVEN, SEVEN).closeness == 100
    assert against(f"{SEVEN} again", SEVEN) == Verdict(Tier.CLEAR, 0)
    assert kind(against(SEVEN.replace("today", "again"), SEVEN)) == CLEAR
    assert kind(against(f"{scrambled(9, 'a')} {SEVEN} {scrambled(9, 'b')}", SEVEN)) == CLEAR
    assert kind(against("no", "no")) == (Tier.BLOCK, Rule.SAME)
    assert kind(against("no", "no no")) == CLEAR


def test_a_post_that_became_short_after_it_was_indexed_is_compared_as_a_whole():
    nearest = TextIndex({place(0): POST}).nearest(POST)
    assert kind(judge(POST, nearest, {place(0): " ".join(POST.split()[:7])})) == CLEAR
    assert kind(judge(POST, nearest, {place(0): " ".join(POST.split()[:8])})) == (Tier.BLOCK, Rule.RUN)


def test_a_short_text_out_of_a_long_post_is_looked_at_but_not_blocked():
    """As a part of the post it would be alike to a hundred per cent."""
    assert kind(against(" ".join(POST.split()[2:9]), POST)) == (Tier.LOOK, Rule.RUN)
    assert kind(against(" ".join(POST.split()[2:7]), POST)) == (Tier.LOOK, Rule.SHARE)
    assert kind(against(" ".join(POST.split()[2:6]), POST)) == CLEAR
    assert kind(against(" ".join(POST.split()[2:10]), POST)) == (Tier.BLOCK, Rule.RUN)


@pytest.mark.parametrize("text", ["", " ", "🦐🦐🦐", "?!", "\0", "\ud800\udfff", "___", "\u200d\ufe0f"])
def test_texts_without_words_are_close_to_nothing(text: str):
    assert against(text, text, POST) == Verdict(Tier.CLEAR, 0)
    assert against(POST, text) == Verdict(Tier.CLEAR, 0)


# --- allowed phrases ------------------------------------------------------------------------------------------

PHRASE = "Written by the keeper of the light, who asks for nothing!"


def test_runs_inside_allowed_phrases_do_not_count():
    text, source = f"{scrambled(30, 'a')} {PHRASE}", f"{PHRASE} {scrambled(30, 'b')}"
    assert kind(against(text, source)) == (Tier.BLOCK, Rule.RUN)
    assert against(text, source, allowed=(PHRASE.lower(),)) == Verdict(Tier.CLEAR, 0)
    assert against(PHRASE, PHRASE, allowed=(PHRASE,)) == Verdict(Tier.CLEAR, 0)
    assert kind(against(PHRASE, PHRASE, allowed=("nothing else", ""))) == (Tier.BLOCK, Rule.SAME)


def test_an_allowed_phrase_hides_no_copy_around_it():
    text = f"{scrambled(4, 'a')} {PHRASE} {scrambled(4, 'b')}"
    verdict = against(f"{scrambled(50, 'x')} {text} {scrambled(50, 'y')}", text, allowed=(PHRASE,))
    assert kind(verdict) == (Tier.BLOCK, Rule.RUN)
    assert verdict.shared == f"{scrambled(4, 'a')} {scrambled(4, 'b')}"
    assert kind(against(f"{PHRASE} so there", f"{PHRASE} so there", allowed=(PHRASE,))) == (Tier.BLOCK, Rule.SAME)


def test_what_an_allowed_phrase_leaves_of_a_post_may_be_short():
    """Three words are left of the post: they stand in the text, which is no copy for that."""
    text = f"{scrambled(30, 'a')} so there then {scrambled(30, 'b')}"
    assert kind(against(text, f"{PHRASE} so there then", allowed=(PHRASE,))) == CLEAR


def test_an_allowed_phrase_makes_no_candidates():
    index = TextIndex({place(0): f"{PHRASE} {scrambled(30, 'b')}"})
    text = f"{scrambled(30, 'a')} {PHRASE}"
    assert index.nearest(text).places == (place(0),)
    assert index.nearest(text, (PHRASE,)).places == ()


# --- words ----------------------------------------------------------------------------------------------------

ACCENTED = "où est passée la mouette déjà, l\N{RIGHT SINGLE QUOTATION MARK}été dernier elle était à côté du phare hélas"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (POST.replace(" ", " 🦐 "), POST),
        (POST.replace(" ", "🏳️‍🌈"), POST),
        (POST.replace("lamp", "l\u200bam\u00adp"), POST),
        (POST.replace(" ", " **_") + "_", POST),
        (POST.replace("lamp", "𝓵𝓪𝓶𝓹").replace("k", "\N{FULLWIDTH LATIN SMALL LETTER K}"), POST),
        ("don't say it isn't so, we've seen what the gulls' don\N{RIGHT SINGLE QUOTATION MARK}ts are", "dont say it isnt so weve seen what the gulls donts are"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t say it isn\N{ACUTE ACCENT}t so, we've seen 'what' the gulls\N{RIGHT SINGLE QUOTATION MARK} don\N{RIGHT SINGLE QUOTATION MARK}ts are", "don't say it isn't so we've seen what the gulls' don'ts are"),
        (unicodedata.normalize("NFD", ACCENTED), unicodedata.normalize("NFC", ACCENTED)),
        (ACCENTED.upper(), ACCENTED),
        ("DIE STRASSE IST LANG WIE DIE NACHT AM MEER", "die straße ist lang wie die nacht am meer"),
        ("\u202bהמנורה נדלקה עם ערב ואיש לא עלה במדרגות לפני שהקומקום רתח\u202c", "המנורה נדלקה עם ערב, ואיש לא עלה במדרגות לפני שהקומקום רתח."),  # noqa: RUF001
        ("أُضيء المصباح عند الغسق ولم يصعد أحد الدرج قبل الغليان", "أُضيء المصباح عند الغسق، ولم يصعد أحدٌ الدرج قبل الغليان".replace("ٌ", "")),
        ("शाम को दीपक जलाया गया और कोई भी सीढ़ियों पर नहीं आया", "शाम को दीपक जलाया गया, और कोई भी सीढ़ियों पर नहीं आया।"),
    ],
)  # fmt: skip
def test_case_punctuation_emoji_and_ways_to_write_a_letter_make_no_difference(text: str, source: str):
    for verdict in (against(text, source), against(source, text)):
        assert kind(verdict) == (Tier.BLOCK, Rule.SAME)


def test_marks_belong_to_their_letter():
    """Without that, each Hindi word would be several, and runs of eight would be found by chance."""
    assert closeness._read("हिन्दी में e\u0301te\u0301").words == ["हिन्दी", "में", "été"]


FOGHORN = "昨夜また新しい笛を吹いたら近所の船長さんたちから苦情が四通も届いて困っています"
JAPANESE = "灯台の明かりは日暮れに灯り、やかんは二度歌った"
THAI_FOGHORN = "เมื่อคืนนี้ฉันเป่าหวูดอันใหม่แล้วเพื่อนบ้านก็เขียนจดหมายมาบ่นถึงสี่ฉบับเลยทีเดียวน่าอายมาก"
THAI = unicodedata.normalize(
    "NFKC", "ประภาคารสว่างขึ้นเมื่อพลบค่ำและไม่มีใครขึ้นบันไดมาก่อนที่กาน้ำจะเดือดสองครั้ง"
)  # the vowel "am" is two characters then


def test_of_japanese_two_characters_count_as_a_word_and_of_thai_four():
    source = "霧は港から上がってきて鴎は何も言わなかった" + JAPANESE
    runs = [against(FOGHORN + JAPANESE[:size] + FOGHORN, source) for size in (14, 15, 16, 17)]
    assert [verdict.run for verdict in runs] == [0, 7, 7.5, 8]
    assert [kind(verdict)[0] for verdict in runs] == [Tier.CLEAR, Tier.LOOK, Tier.LOOK, Tier.BLOCK]
    assert runs[2].shared == "灯台の明かりは日暮れに灯りやか"
    source = THAI + "ฟ้ามืดและทะเลสงบ"
    runs = [against(f"{THAI_FOGHORN}{THAI[:size]} {THAI_FOGHORN}", source) for size in (27, 28, 31, 32)]
    assert [verdict.run for verdict in runs] == [0, 7, 7.75, 8]
    assert [kind(verdict)[0] for verdict in runs] == [Tier.CLEAR, Tier.LOOK, Tier.LOOK, Tier.BLOCK]


def test_writing_without_spaces_is_copied_and_edited_as_any_other():
    edited = JAPANESE.replace("二度", "三回")
    assert kind(against(edited, JAPANESE)) == (Tier.BLOCK, Rule.RUN)
    assert kind(against("霧が港から上がってきて、鴎は何も言わなかった", JAPANESE)) == CLEAR
    assert kind(against(JAPANESE[:8], JAPANESE[:8])) == (Tier.BLOCK, Rule.SAME)
    assert kind(against(JAPANESE[:8] + "。霧が港から上がってきた", JAPANESE[:8])) == CLEAR


def test_words_with_and_without_spaces_stand_in_one_text():
    mixed = closeness._read("the 灯台 lamp, แมว 2x")
    assert mixed.words == ["the", "灯", "台", "lamp", *"แมว", "2x"]
    assert mixed.weight == 4 + 2 + 2 + 4 + 3 + 4
    assert mixed.plain() == "the 灯台 lamp แมว 2x"
    assert closeness._read("コーヒー、人々 ｺｰﾋｰ").weight == 2 * (4 + 2 + 4)
    source = "the keeper of the 灯台 said nothing about the お茶 today"
    assert kind(against(f"{scrambled(30, 'a')} {source} {scrambled(30, 'b')}", source)) == (Tier.BLOCK, Rule.RUN)


# --- copies of any post ---------------------------------------------------------------------------------------

VOCABULARY = (
    "the",
    "lamp",
    "was",
    "lit",
    "a",
    "gull",
    "don't",
    "fog",
    "été",
    "灯台",
    "שלום",
    "und",
    "straße",
    "tea",
    "no",
)
corpus = st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=14), min_size=1, max_size=20)
PUNCTUATION = (" ", ", ", "! ", " — ", "\n\n", " 🦐 ", "… ", '." ', " **", "\u200b ")


@st.composite
def disguised(draw: st.DrawFn, copied: list[str]) -> str:
    """The words in another case and with other punctuation, among others."""
    parts: list[str] = []
    for word in [*draw(others), *copied, *draw(others)]:
        parts += [draw(st.sampled_from([word, word.upper(), word.title()])), draw(st.sampled_from(PUNCTUATION))]
    return "".join(parts)


others = st.lists(st.sampled_from(VOCABULARY), max_size=12)


@pytest.mark.long
@given(st.data(), corpus)
@settings(max_examples=200, deadline=None)
def test_a_verbatim_copy_of_any_post_of_eight_words_is_blocked(data: st.DataObject, texts: list[list[str]]):
    copied = data.draw(st.sampled_from(texts))
    assume(not closeness._read(" ".join(copied)).is_short)
    verdict = against(data.draw(disguised(copied)), *map(" ".join, texts))
    assert verdict.tier is Tier.BLOCK
    assert verdict.closeness > 0


@given(st.data(), corpus)
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_posts_come_makes_no_difference(data: st.DataObject, texts: list[list[str]]):
    all_of_them = [(place(number), " ".join(text)) for number, text in enumerate(texts)]
    shuffled = dict(data.draw(st.permutations(all_of_them)))
    text = " ".join(data.draw(others))
    assert judge_among(text, shuffled) == judge_among(text, dict(all_of_them))
    assert TextIndex(shuffled).nearest(text) == TextIndex(dict(all_of_them)).nearest(text)


@given(st.data(), corpus)
@settings(max_examples=60, deadline=None)
def test_an_index_that_grew_is_one_that_was_built(data: st.DataObject, texts: list[list[str]]):
    """Also where more was added than stays unsorted, with questions in between."""
    index = TextIndex()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closeness, "_TAIL", data.draw(st.integers(0, 3)))
        for number, text in enumerate(texts):
            index.extend({place(number): " ".join(text)})
            index.nearest(" ".join(texts[0]))
        text = " ".join(data.draw(others))
        grown = index.nearest(text)
    assert len(index) == len(texts)
    assert grown == TextIndex({place(number): " ".join(text) for number, text in enumerate(texts)}).nearest(text)


def test_a_copied_sentence_is_found_among_stock_phrases():
    """Thirty posts share more runs of three, and of five, with the text than the one that it copies a sentence of."""
    stock = [scrambled(5, f"stock{number}") for number in range(20)]
    dice = random.Random(1)
    sources = [f" {scrambled(1, str(number))} ".join(dice.sample(stock, 20)) for number in range(30)]
    copied = scrambled(8, "copied")
    text = f" {scrambled(1, 'other')} ".join(dice.sample(stock, 20)) + f" {copied} and so on"
    assert against(text, *sources).run < 7
    assert against(text, *sources, f"{scrambled(30, 'post')} {copied}").shared == copied


def test_of_many_posts_those_with_most_runs_of_three_are_compared():
    """None of the runs of five is left of the copy, and fifteen others have some of its runs of three."""
    source = scrambled(28, "source").split()
    text = " ".join("else" if number % 4 == 3 else word for number, word in enumerate(source))
    crumbs = [" ".join([*text.split()[number : number + 3], scrambled(20, str(number))]) for number in range(0, 20, 4)]
    index = TextIndex({place(number): crumb for number, crumb in enumerate([*crumbs * 3, " ".join(source)])})
    assert index.nearest(text).places[0] == place(15)
    assert len(index.nearest(text).places) == 10


# --- a generated corpus ---------------------------------------------------------------------------------------


@cache
def frequencies() -> tuple[list[str], list[float]]:
    dice = random.Random(0)
    vocabulary = ["".join(dice.choices("etaoinshrdlucmfw", k=dice.randint(2, 9))) for _ in range(3_000)]
    return vocabulary, [1 / (rank + 3) for rank in range(len(vocabulary))]


def generated(count: int, seed: int) -> list[str]:
    """Texts of 8 to 60 words, some of them far more frequent than others, as in any language."""
    dice = random.Random(seed)
    return [" ".join(dice.choices(*frequencies(), k=dice.randint(8, 60))) for _ in range(count)]


def edited(text: str, share: float, dice: random.Random) -> str:
    """Up to this share of the words replaced, left out or followed by another one."""
    found = text.split()
    strangers = generated(1, dice.randrange(10**6))[0].split()
    for spot in sorted(dice.sample(range(len(found)), int(share * len(found))), reverse=True):
        found[spot : spot + 1] = dice.choice([[dice.choice(strangers)], [], [found[spot], dice.choice(strangers)]])
    return " ".join(found)


def test_nearly_all_copies_with_a_fifth_of_their_words_edited_are_blocked():
    dice = random.Random(6)
    texts = {place(number): text for number, text in enumerate(generated(2_000, seed=1))}
    index = TextIndex(texts)
    chosen = dice.sample(sorted(texts), 300)
    verdicts = [judge(text, index.nearest(text), texts) for text in (edited(texts[each], 0.2, dice) for each in chosen)]
    assert sum(verdict.tier is Tier.BLOCK for verdict in verdicts) >= 0.97 * len(chosen)
    assert sum(verdict.source == each for verdict, each in zip(verdicts, chosen, strict=True)) >= 0.97 * len(chosen)


def test_of_honest_texts_hardly_any_is_blocked():
    texts = {place(number): text for number, text in enumerate(generated(2_000, seed=1))}
    index = TextIndex(texts)
    counts = Counter(judge(text, index.nearest(text), texts).tier for text in generated(500, seed=2))
    assert counts[Tier.BLOCK] <= 2
    assert counts[Tier.LOOK] <= 5


def sample_blog() -> dict[Place, str]:
    sample = [post.text for post in map(read_post, load_posts()) if post.is_example]
    return {place(number): text for number, text in enumerate(sample)}


def test_a_disguised_copy_of_any_post_of_the_sample_blog_is_blocked():
    texts = sample_blog()
    index = TextIndex(texts)
    dice = random.Random(4)
    long = {where: text for where, text in texts.items() if not closeness._read(text).is_short}
    assert len(long) > 150
    for text in long.values():
        copied = "".join(
            dice.choice([word, word.upper()]) + dice.choice(PUNCTUATION)
            for word in [*generated(1, 5)[0].split(), *text.split(), *generated(1, 6)[0].split()]
        )
        assert judge(copied, index.nearest(copied), texts).tier is Tier.BLOCK, text


CATCHPHRASES = (
    "the light is lit",
    "that is the main thing",
    "a letter from the harbour office: dear keeper",
    "the fog has filed a complaint",
)


def test_the_posts_of_a_blog_are_not_taken_for_copies_of_each_other_but_for_its_catchphrases():
    """The sample blog is written in one voice, and nothing in it is a copy."""
    texts = sample_blog()
    index = TextIndex(texts)

    def verdicts(allowed: tuple[str, ...]) -> list[Verdict]:
        return [
            judge(text, index.nearest(text, allowed), {each: texts[each] for each in texts if each != where}, allowed)
            for where, text in texts.items()
        ]

    assert len(texts) > 150
    counts = Counter(verdict.tier for verdict in verdicts(CATCHPHRASES))
    assert counts[Tier.BLOCK] == 0
    assert counts[Tier.LOOK] <= 0.03 * len(texts)
    assert Counter(verdict.tier for verdict in verdicts(()))[Tier.BLOCK] > 10


# --- other drafts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_blocked"),
    [
        (POST, True),
        (POST.upper() + "!!!", True),
        (POST.replace("kettle", "kettles"), True),
        (POST + " indeed", True),
        (POST + " " + OTHER, True),
        (POST.replace("lamp", "fire").replace("nobody", "no one").replace("twice", "once"), True),
        (" ".join(reversed(POST.split())), False),
        (OTHER, False),
    ],
)
def test_near_duplicates_among_drafts(text: str, *, is_blocked: bool):
    assert (against(text, OTHER[:20], POST).tier is Tier.BLOCK) is is_blocked


def test_there_may_be_no_others():
    assert judge_among(POST, {}) == Verdict(Tier.CLEAR, 0)


# --- the index ------------------------------------------------------------------------------------------------


def test_sources_that_are_gone_are_passed_over():
    nearest = TextIndex({place(0): POST, place(1): POST + " indeed"}).nearest(POST)
    assert nearest == Nearest((place(0), place(1)), 100)
    assert judge(POST, nearest, {place(1): POST + " indeed"}).source == place(1)
    assert judge(POST, nearest, {}) == Verdict(Tier.CLEAR, 100)


def test_a_post_that_was_edited_is_added_again():
    index = TextIndex({place(0): POST})
    index.extend({place(0): POST + " " + OTHER})
    assert index.nearest(OTHER).places == index.nearest(POST).places == (place(0),)


def test_posts_of_several_blogs_have_their_places():
    index = TextIndex({("t:a", "1"): POST, ("t:b", "1"): OTHER})
    assert index.nearest(OTHER).places == (("t:b", "1"),)
    assert index.nearest(POST).places == (("t:a", "1"),)


def test_closeness_is_the_share_of_words_in_runs_of_five_of_any_posts():
    index = TextIndex({place(0): POST, place(1): OTHER})
    five, six = " ".join(POST.split()[:5]), " ".join(OTHER.split()[3:9])
    assert index.nearest(f"{five} {scrambled(4, 'x')} {six} {scrambled(5, 'y')}").closeness == 55
    assert index.nearest(f"{five} {six}").closeness == 100
    assert index.nearest(" ".join(POST.split()[:4])).closeness == 0
    assert index.nearest(f"{five} {PHRASE} {scrambled(5, 'x')}", (PHRASE,)).closeness == 50
    crossing = f"{scrambled(2, 'x')} {PHRASE}"
    assert TextIndex({place(0): crossing}).nearest(f"{crossing} {scrambled(8, 'y')}", (PHRASE,)).closeness == 20


def test_no_more_texts_than_there_are_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(closeness, "_NUMBERS", 1)
    index = TextIndex({place(0): POST, place(1): OTHER})
    with pytest.raises(OverflowError):
        index.extend({place(2): POST})


def test_hashes_are_the_same_in_every_process():
    """Python salts the hashes of texts anew in each; what is found must not change by that."""
    program = f"from bot.pipeline.closeness import _Hashes, _read; print(sorted(_Hashes(_read({POST!r})).runs(3)))"
    shown = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 1
    assert len(shown.pop()) > 100


def test_an_index_is_asked_while_it_grows():
    index = TextIndex({place(0): POST})
    texts = {("t:b", str(number)): text for number, text in enumerate(generated(1_000, seed=3))}
    growing = threading.Thread(target=index.extend, args=(texts,))
    growing.start()
    asked = 0
    while growing.is_alive() or not asked:
        assert place(0) in index.nearest(POST).places
        asked += 1
    growing.join()
    assert asked > 1
    assert index.nearest(texts["t:b", "999"]).places[0] == ("t:b", "999")


async def test_from_the_store_to_a_verdict(tmp_path):
    """As it is meant to be used; the module's docstring shows the same."""
    database = await Database.open(tmp_path / "bot.sqlite3")
    try:
        found = [read_post(post) for post in load_posts()]
        uuid = found[0].blog_uuid
        async with database.write() as connection:
            await posts.upsert_blog(connection, Blog(uuid, "keeper", "", ""), 0.0)
            await posts.save_page(connection, uuid, found, 0.0)
        index = TextIndex()
        async for page in posts.valid_texts(database):
            await asyncio.to_thread(index.extend, page)
        assert len(index) == sum(post.is_example for post in found)
        copied = next(post for post in found if post.is_example and len(post.text.split()) > 20)
        nearest = await asyncio.to_thread(index.nearest, copied.text)
        stored = await posts.posts_by_id(database, nearest.places)
        sources = {where: post.text for where, post in stored.items()}
        verdict = await asyncio.to_thread(judge, copied.text, nearest, sources)
        assert kind(verdict) == (Tier.BLOCK, Rule.SAME)
        assert verdict.source == (uuid, copied.id)
    finally:
        await database.close()


# --- texts of strangers ---------------------------------------------------------------------------------------

MILLION = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "x" * MILLION,
        "x " * MILLION,
        "灯" * MILLION,
        "ก้" * MILLION,
        "a\u0301" * MILLION,
        "\ufdfa" * MILLION,
        "\u0301" * MILLION,
        "\u200d" * MILLION,
        "\ud800" * MILLION,
        "\0" * MILLION,
        "\ud800a\0b\udfff c " * 100_000,
        "a b " * MILLION,
        "a b c " * MILLION,
        "1️⃣" * 100_000,
        words(200_000),
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_no_text_is_too_large_or_too_strange(text: str):
    sources = {place(number): text[number:] + " end" for number in range(3)} | {
        place(3): POST,
        place(4): "a b " * 9_999,
    }
    for one in (text, "a b " * 9_999, POST):
        verdict = judge_among(one, sources, ("x x", "a", "灯灯"))
        assert verdict.run <= LONGEST_RUN
        assert len(verdict.shared) <= READ
        verdict.shared.encode()


@given(st.lists(st.text(max_size=80) | st.text(alphabet="ab \ud800\0\u0301灯ก'", max_size=80), max_size=6), st.text())
@example(["İ"], "i̇")
@settings(deadline=None)
def test_any_texts_at_all(texts: list[str], phrase: str):
    for text in texts:
        verdict = against(text, *(other * 3 for other in texts), allowed=(phrase,))
        assert (verdict.tier is Tier.CLEAR) == (verdict.rule is None) == (verdict.source is None)
        assert 0 <= verdict.closeness <= 100
        verdict.shared.encode()


def test_a_copy_is_found_where_reading_ends_and_not_beyond():
    long = scrambled(3_000, "long")
    assert len(long) > READ
    assert kind(against(f"{scrambled(9, 'a')} {long[READ - 200 : READ - 100]}", long)) == (Tier.BLOCK, Rule.RUN)
    assert kind(against(f"{scrambled(9, 'a')} {long[READ + 100 : READ + 200]}", long)) == CLEAR


@pytest.mark.parametrize("letters", ["".join(map(chr, range(0x4E00, 0x9000))), "abcdefghijklmnopqrst"])
def test_no_more_words_than_can_be_compared_are_read(letters: str):
    dice = random.Random(7)
    between = "" if letters > "z" else " "
    long = [dice.choice(letters) for _ in range(closeness.READ_WORDS + 200)]
    for begin, tier in ((-300, Tier.BLOCK), (-100, Tier.CLEAR)):
        assert against(f"{scrambled(9, 'a')} {between.join(long[begin:][:90])}", between.join(long)).tier is tier


def test_a_line_that_all_posts_end_with_counts_for_a_few_of_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(closeness, "_POSTS", 3)
    monkeypatch.setattr(closeness, "_TAIL", 0)
    texts = {place(number): f"{scrambled(9, str(number))} {PHRASE}" for number in range(9)}
    assert TextIndex(texts).nearest(PHRASE).places == (place(0), place(1), place(2))
    text = f"{scrambled(9, '8')} {PHRASE}"
    assert judge_among(text, texts).source == place(8)


def test_long_texts_are_alike_by_the_mean_of_their_pieces():
    source = scrambled(400, "source").split()
    text = " ".join("else" if number % 5 == 4 else word for number, word in enumerate(source))
    assert kind(against(text, " ".join(source))) == (Tier.BLOCK, Rule.ALIKE)
    half = " ".join(text.split()[:200]) + " " + scrambled(200, "other")
    assert kind(against(half, " ".join(source))) == CLEAR
    pieces = closeness._pieces("".join(map(chr, range(1_000, 11_000))))
    assert [len(piece) for piece in pieces] == [256] * 8
    assert [ord(piece[0]) for piece in pieces] == list(range(1_000, 11_000, 1_250))
    assert "".join(closeness._pieces(POST * 5)) == POST * 5

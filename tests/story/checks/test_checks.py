"""Each check on what it is for, and on what it must let pass."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tale.story.checks import (
    DEFAULT_CHECKS,
    Check,
    Finding,
    StoryReport,
    Told,
    WordCount,
    check_story,
)
from langchain_tale.story.checks.completeness import looping_words, repeated_share
from langchain_tale.story.checks.content import unfit_points
from langchain_tale.story.checks.wording import mentions

if TYPE_CHECKING:
    from collections.abc import Iterable

STORY = (
    "Mia had a small red boat. She put it on the pond, and it sailed away. "
    'A frog sat down in it. "This is mine," said the frog. Mia laughed. "Then bring it back '
    'when you are done," she said.'
)
RUSSIAN = (
    "У Маши была маленькая лодка. Она пустила её на пруд, и лодка поплыла. В неё села лягушка. "
    "— Это моё, — сказала лягушка. Маша засмеялась. — Тогда верни, когда накатаешься, — сказала "
    "она."
)


def failures(text: str, checks: Iterable[Check] | None = None, /, **request: Any) -> set[str]:
    asked = {"theme": "a boat", "words": 40, **request}
    return {finding.name for finding in check_story(text, asked, checks=checks).failures}


def ru(text: str, **request: Any) -> set[str]:
    return failures(text, theme="лодка", language="ru", **request)


def test_a_good_story_passes_in_both_languages() -> None:
    assert failures(STORY, age=5, child_name="Mia", avoid=["wolf"]) == set()
    assert ru(RUSSIAN, age=5, child_name="Маша", avoid=["волк"]) == set()


# ── length ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("words", "is_right"), [(40, True), (27, True), (68, False), (26, False)])
def test_the_length_is_held_against_the_words_asked_for(words: int, is_right: bool) -> None:  # noqa: FBT001 (a case)
    assert ("words" not in failures(STORY, words=words)) is is_right


def test_minutes_asked_for_are_held_against_minutes() -> None:
    report = check_story(STORY, {"theme": "a boat", "minutes": 2})

    assert [finding.name for finding in report.failures] == ["minutes"]
    assert report.value("words") == 40
    assert report.value("minutes") == pytest.approx(40 / 130)


def test_the_sentence_says_how_long_it_is_and_should_be() -> None:
    assert check_story(STORY, {"theme": "a boat", "words": 300}).sentences == (
        "The story has 40 words; write about 300.",
    )
    assert (
        "примерно 300"
        in check_story(RUSSIAN, {"theme": "лодка", "words": 300, "language": "ru"}).sentences[0]
    )


def test_words_of_chinese_are_not_counted() -> None:
    report = check_story("从前有一只小刺猬。它睡不着觉。", {"theme": "刺猬", "language": "zh"})

    assert report.value("words") is None
    assert report.passed


# ── language ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("word", ["лодка", "船", "ボート", "قارب", "boаt"])
def test_a_word_of_another_script_is_found_in_english(word: str) -> None:
    assert failures(STORY.replace("boat", word, 1)) == {"foreign_words"}


@pytest.mark.parametrize("word", ["boat", "船", "човен із", "лoдка"])
def test_a_word_of_another_script_is_found_in_russian(word: str) -> None:
    assert ru(RUSSIAN.replace("лодка", word, 1)) == {"foreign_words"}


def test_names_of_the_request_and_roman_numbers_are_let_pass() -> None:
    assert ru(RUSSIAN.replace("лодка", "лодка Zoë", 1), child_name="Zoë") == set()
    assert ru(RUSSIAN.replace("Она", "Король Пётр XII подал сигнал SOS. Она", 1)) == set()
    assert failures(STORY.replace("A frog", "The café owner, naïve Zoë,", 1)) == set()


def test_half_a_story_in_another_language_is_found() -> None:
    french = (
        "Le petit chat monta sur le toit et regarda la lune. Il voulait la toucher avec sa patte. "
        "Mais la lune restait toujours trop haute pour lui. Un jour il la vit dans une flaque. "
        "Il sauta dedans et rentra tout content chez sa maman."
    )

    assert "language" in failures(f"{STORY}\n\n{french}", words=80)


def test_another_language_is_measured_by_its_dictionary() -> None:
    german = (
        "Es war einmal ein kleiner Igel, der nicht schlafen konnte. Da kam der Mond und sagte: "
        "Hör auf das Gras, es singt für dich. Der Igel lauschte und schlief ein."
    )
    asked = {"theme": "Igel", "language": "German", "words": 30}

    assert check_story(german, asked).passed
    assert "language" in {f.name for f in check_story(STORY, asked).failures}


def test_without_the_extra_another_language_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "simplemma", None)

    report = check_story(STORY, {"theme": "a boat", "words": 40, "language": "de"})

    assert report.value("language") is None
    assert report.passed


# ── whole ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "end",
    ["and then", "and then,", "she said:", 'She said, "Come', "Она ушла и"],
)
def test_a_story_that_breaks_off_is_found(end: str) -> None:
    assert "ending" in failures(f"{STORY} {end}")


@pytest.mark.parametrize(
    "end",
    [
        "Done.",
        "Done!",
        "Who knows?",
        "And so…",
        '"Good night."',
        "\n\nThe End",
        "They slept. The End",
    ],
)
def test_a_story_may_end_in_many_ways(end: str) -> None:
    assert failures(f"{STORY} {end}") == set()


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("rain rain rain", 1),
        ("he ran and he ran", 0),
        ("push fold turn push fold turn", 0),
        ("one two three " * 10, 24),
        ("", 0),
    ],
)
def test_loops_are_counted_from_the_third_time_on(text: str, looping: int) -> None:
    assert looping_words(text.split()) == looping


def test_a_refrain_is_no_loop_and_a_copy_is_repetition() -> None:
    words = STORY.lower().split()

    assert repeated_share(words) == 0
    assert repeated_share(words * 2) == pytest.approx(0.5)


# ── debris ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "before",
    [
        "Sure! Here is a story about a boat:",
        "Certainly, here's a short tale for Mia.",
        "Here is your story:",
        "Of course!",
        "Конечно! Вот сказка для вас:",
        "Вот ваша сказка:",
    ],
)
def test_words_to_the_one_who_asked_are_found_before_the_story(before: str) -> None:
    assert "chatter" in failures(f"{before}\n\n{STORY}", words=50)


@pytest.mark.parametrize(
    "after",
    [
        "I hope you enjoyed the story!",
        "Let me know if you want changes.",
        "Would you like me to write another story?",
        "(Word count: 40)",
        "Note: this is for young readers.",
        "Надеюсь, сказка вам понравилась!",
        "Хотите, я напишу ещё одну сказку?",
    ],
)
def test_words_to_the_one_who_asked_are_found_after_the_story(after: str) -> None:
    assert "chatter" in failures(f"{STORY}\n\n{after}", words=50)


@pytest.mark.parametrize(
    "text",
    [
        '"Sure!" said Tom. "Here is my story," and he told it.',
        "Here is where the fox lives, under the old oak.",
        "This is how the bear lost his hat.",
        "Of course the fox had heard of the moon before.",
        "Of course, the little fox was afraid.",
        "Yes, here lived a bear once.",
        "Вот бежит зайчик, а за ним лиса.",
        "Конечно, ёжик испугался.",
        '"I hope you like the cake," said Mama.',
        '"Let me know if it rains," said the snail.',
        '"Would you like a cup of tea?" asked the pirate.',
        "— Хочешь, я помогу тебе? — спросил ёжик.",
        '"I can\'t write this story," said the bear, "my paws are cold."',
        "She worked as an assistant in a bakery and ignored the instructions on the box.",
        '"As an AI, I taste nothing," said the robot, "it is not in my programming."',
        "He followed the original instructions of the kit.",
        "Мама повторила предыдущие указания, но Коля их забыл.",
        "This is the story of how the bear lost his hat.",
        "Here is the tale that the old owl told.",
        "The story was told in the village for many years.",
        'Tom said, "Let me know if you see a whale."',
        'Ann asked her, "Would you like a longer stick?"',
        "He thought, I hope you like it here.",
        "Хорошо в лесу! Вот бежит зайчик.",
        "Вот какая история случилась с котом Васькой.",
        "Да, вот так кот и нашёл себе дом.",
        "Дед сказал: «Хочешь, я расскажу тебе про море?»",
    ],
)
def test_what_characters_say_is_no_chatter(text: str) -> None:
    for told in (f"{text}\n\n{STORY}", f"{STORY}\n\n{text}"):
        assert "chatter" not in failures(told, words=55)


@pytest.mark.parametrize(
    "before",
    [
        "The Red Boat\n\n",
        "Title: The Red Boat\n\n",
        "# One\n\n## Two\n\n",
        "# The Boat\n\nThe Boat\n\n",
    ],
)
def test_a_title_inside_the_story_is_found(before: str) -> None:
    asked = "Title: A\n\n" if before.startswith("Title") else ""
    assert "title" in failures(asked + before + STORY)


@pytest.mark.parametrize(
    "before", ["# The Boat\n\n", "**The Boat**\n\n", "", "Splash!\n\n", "— Ай!\n\n"]
)
def test_a_title_in_its_place_and_a_short_first_line_are_none(before: str) -> None:
    assert "title" not in failures(before + STORY)


@pytest.mark.parametrize(
    "mark",
    [
        "**big**",
        "_big_",
        "*big*",
        "`big`",
        "\n## Next\n",
        "\n* one\n",
        "\n1. one\n",
        "\n---\n",
        "<br>",
        "[a](b)",
    ],
)
def test_marks_of_markdown_are_found(mark: str) -> None:
    assert failures(f"{STORY} {mark} Done.") & {"markdown", "title"}


@pytest.mark.parametrize(
    "text", ["2 * 3 * 4 is 24.", "\n\n* * *\n\nLater.", "a snake_case_name.", "I <3 you."]
)
def test_other_marks_are_no_markdown(text: str) -> None:
    assert "markdown" not in failures(f"{STORY} {text}")


def test_a_dash_begins_speech_in_russian_and_a_list_in_english() -> None:
    assert "markdown" not in ru(RUSSIAN.replace("— Это", "\n- Это"))
    assert "markdown" in failures(f"{STORY}\n- one\n- two.")


def test_our_own_instructions_are_found_in_a_story() -> None:
    assert "prompt_leak" in failures(f"{STORY} Nothing in it is cruel, frightening or meant.")


# ── wording ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text", "language", "count"),
    [
        ("Mia", "Mia's boat. MIA! Miami.", "en", 2),
        ("mia", "Mia ran.", "en", 1),
        ("Will", "Where there is a will, there is a way.", "en", 0),
        ("José", "Jose and José", "en", 2),
        ("Mary Ann", "Mary sat down.", "en", 1),
        ("Маша", "Маши, Маше, Машу, Машей, Машенька, Машина кукла, машина, Машинист", "ru", 5),
        ("Пётр", "Петра, Петру, Пётр, Петров дом, Петрушка", "ru", 4),
        ("Павел", "Павла и Павлу", "ru", 2),
        ("Лев", "Льва и Льву, лев", "ru", 2),
        ("Андрей", "Андрея, Андрею, Андреем", "ru", 3),
        ("Мария", "Марии, Марию, Марией", "ru", 3),
        ("Илья", "Ильи, Илье, Ильёй, Ильюша", "ru", 3),
        ("Zosia", "Zosi, Zosię, zosia", "pl", 2),
    ],
)
def test_a_name_is_found_in_any_form(name: str, text: str, language: str, count: int) -> None:
    assert mentions(name, text, language) == count


def test_a_name_in_another_script_is_not_looked_for() -> None:
    assert ru(RUSSIAN, child_name="Mia") == set()


def test_no_sentence_names_the_child() -> None:
    report = check_story(STORY, {"theme": "a boat", "child_name": "Wilhelmina", "words": 40})

    assert [finding.name for finding in report.failures] == ["child_name"]
    assert "Wilhelmina" not in repr(report)


@pytest.mark.parametrize("avoid", ["frogs", "a frog", "Frog", "red boats"])
def test_what_is_ruled_out_is_found_in_any_form(avoid: str) -> None:
    assert failures(STORY, avoid=[avoid]) == {"avoid"}


@pytest.mark.parametrize("avoid", ["лягушки", "лягушка", "маленькие лодки"])
def test_what_is_ruled_out_is_found_in_any_form_in_russian(avoid: str) -> None:
    assert ru(RUSSIAN, avoid=[avoid]) == {"avoid"}


def test_a_word_inside_another_is_not_ruled_out() -> None:
    assert failures(STORY, avoid=["oat", "ail", "ars"]) == set()


# ── what no parent would read on ────────────────────────────────────────────


@pytest.mark.parametrize(
    "harmless",
    [
        "They killed time in a dead end.",
        "The ship's gun was a rusty cannon, and he shot up the hill.",
        "She ate a blood orange and died laughing.",
        "The killer whale blew a fountain.",
        "A murder of crows sat on the roof.",
        "He had drunk the milk, and the milk was drunk by the cat.",
        "He'll say hello to the shell.",
        "Robin Redbreast met a blue tit and a cock that crowed.",
        "The donkey was an ass, and the class passed.",
        "The naked mole rat had no coat.",
        "Grandma's root beer fizzed.",
        "The assassin bug analysed the Middlesex cocktail.",
        "Dick and his pussycat screwed the lid on.",
        "The devil's food cake was the little devil's favourite.",
    ],
)
def test_harmless_words_are_let_pass_at_four(harmless: str) -> None:
    assert unfit_points(harmless, "en", 4) == (0, "")


@pytest.mark.parametrize(
    "harmless",
    [
        "Наступил мёртвый час, и мальчики убивали время.",
        "Кровать стояла под кровлей.",
        "На суку сидела ворона, а сучок хрустнул.",
        "Бабушка пекла хлеба, ребята ели блины.",
        "Он чуть не умер со смеху.",
        "Дедушка раскурил трубку.",
        "Мальчик выстрелил из хлопушки и взял водяной пистолет.",
        "Иван-дурак застраховал корабль.",
        "Труппа артистов спешила, трубач трубил.",
        "Она подкралась после третьей попытки.",
        "Девочка кровь с молоком.",
        "В секстете играли на секстанте.",
        "Небо потемнело, и подъехал педиатр с говяжьим бульоном.",
    ],
)
def test_harmless_russian_words_are_let_pass_at_four(harmless: str) -> None:
    assert unfit_points(harmless, "ru", 4) == (0, "")


@pytest.mark.parametrize(
    ("text", "language", "age", "is_unfit"),
    [
        ("The knight killed the dragon.", "en", 4, True),
        ("The knight killed the dragon.", "en", 8, False),
        ("He killed one, and he killed the other.", "en", 8, True),
        ("There was a drop of blood on his knee.", "en", 7, False),
        ("There was blood, so much blood.", "en", 7, True),
        ("They were drunk.", "en", 10, True),
        ("They took cocaine.", "en", 14, True),
        ("They took cocaine.", "en", 16, False),
        ("Змей убил коня.", "ru", 4, True),
        ("Змей убил коня.", "ru", 9, False),
        ("Он был пьяный.", "ru", 9, True),
        ("Вот сволочь!", "ru", 12, True),
        ("The knight killed the dragon.", "en", None, False),
        ("A corpse lay there.", "en", None, True),
    ],
)
def test_what_is_unfit_depends_on_age(
    text: str,
    language: str,
    age: int | None,
    is_unfit: bool,  # noqa: FBT001 (a case)
) -> None:
    assert (unfit_points(text, language, age)[0] > 1) is is_unfit


# ── the report ──────────────────────────────────────────────────────────────


def test_a_report_says_what_was_measured_and_what_failed() -> None:
    report = check_story("Once there was a", {"theme": "a boat", "words": 20, "age": 5})
    plain = report.to_dict()

    assert not report.passed
    assert 0 < report.score < 1
    assert [finding.name for finding in report.failures] == ["ending", "words"]
    assert plain["findings"][0] == {
        "name": "words",
        "value": 4,
        "at_least": 12,
        "at_most": 30,
        "ok": False,
        "sentence": "The story has 4 words; write about 20.",
    }
    assert {finding["name"] for finding in plain["findings"]} >= {
        "lix",
        "reading_level",
        "language",
    }


def test_a_grave_fault_weighs_more_than_a_slight_one() -> None:
    long = check_story(STORY, {"theme": "a boat", "words": 20})
    harsh = check_story(f"{STORY} He killed it.", {"theme": "a boat", "words": 40, "age": 3})

    assert long.score > harsh.score
    assert not long.passed
    assert not harsh.passed


def test_a_story_further_off_scores_less() -> None:
    near, far = (check_story(STORY, {"theme": "a boat", "words": n}).score for n in (100, 2000))

    assert near > far


def test_what_is_only_measured_has_no_say() -> None:
    report = StoryReport((Finding(name="lix", value=90.0), Finding(name="language", value=None)))

    assert report.passed
    assert report.score == 1


def test_a_function_is_a_check() -> None:
    class Shouting:
        name = "shouting"

        def __call__(self, told: Told) -> Finding:
            return Finding(
                name=self.name, value=told.text.count("!"), at_most=0, sentence="Do not shout."
            )

    report = check_story(STORY + "!!", {"theme": "a boat"}, checks=[Shouting(), WordCount(0, 99)])

    assert [f.name for f in report.findings] == ["shouting", "words"]
    assert report.sentences == ("Do not shout.",)


def test_every_check_has_a_name_and_stands_once() -> None:
    names = [check.name for check in DEFAULT_CHECKS if check.name != "flesch_reading_ease"]

    assert len(names) == len(set(names))
    assert all(names)

"""What follows from scores, thresholds and decisions, held against a plain reading of the rules."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.drafts import Person
from bot.screening import UNNAMED, Act, Decision, Judgement, Verdicts, flags, thresholds

KEEPER = Person(1, "keeper")
NAMES = ("hate", "sexual", "violence")


def decision(
    act: Act, position: int | None = None, category: str | None = None, value: float | None = None
) -> Decision:
    return Decision(KEEPER, act, 0.0, position, category, value)


def numbered(decisions: Sequence[Decision]) -> list[Decision]:
    return [
        Decision(each.person, each.act, 0.0, each.position, each.category, each.value, None, number)
        for number, each in enumerate(decisions, 1)
    ]


# --- thresholds and flags -----------------------------------------------------------------------------------------

SAID = Judgement(True, ("violence",), {"violence": 0.6, "hate": 0.3})


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, {"violence": 0.6}),
        ({"violence": 0.7}, {}),
        ({"violence": 0.6}, {"violence": 0.6}),
        ({"hate": 0.3}, {"violence": 0.6, "hate": 0.3}),
        ({"hate": 0.31}, {"violence": 0.6}),
        ({None: 0.2}, {"violence": 0.6, "hate": 0.3}),
        ({None: 0.2, "hate": 0.9}, {"violence": 0.6}),
        ({None: 0.9, "violence": 0.5}, {"violence": 0.6}),
        ({None: 0.9}, {}),
        ({None: 0.0}, {"violence": 0.6, "hate": 0.3}),
        ({"sexual": 0.0}, {"violence": 0.6}),
    ],
)
def test_a_threshold_takes_the_place_of_the_services_flag(rules, expected):
    assert flags([SAID], rules) == expected


@pytest.mark.parametrize("rules", [{}, {None: 0.9}, {"could not be judged": 0.9}])
def test_what_has_no_score_is_flagged_by_the_service_alone(rules):
    assert flags([Judgement(True, ("could not be judged",))], rules) == {"could not be judged": None}
    assert flags([Judgement(True)], rules) == {UNNAMED: None}
    assert flags([Judgement(False)], rules) == {}


def test_the_texts_of_an_example_count_together():
    one, other = Judgement(True, ("hate",), {"hate": 0.7}), Judgement(True, ("hate",), {"hate": 0.9, "violence": 0.2})
    assert flags([one, other], {}) == flags([other, one], {}) == {"hate": 0.9}
    assert flags([], {None: 0.0}) == {}


def test_the_newest_threshold_counts_and_none_takes_it_away():
    rule = Act.THRESHOLD
    said = [
        decision(rule, category="hate", value=0.2),
        decision(rule, value=0.5),
        decision(rule, category="hate", value=0.4),
        decision(rule, category="sexual", value=0.1),
        decision(Act.KEEP, category="violence"),
    ]
    assert thresholds(said) == {"hate": 0.4, None: 0.5, "sexual": 0.1}
    assert thresholds([*said, decision(rule, category="hate")]) == {None: 0.5, "sexual": 0.1}
    assert thresholds([*said, decision(rule)]) == {"hate": 0.4, "sexual": 0.1}


@given(
    st.lists(
        st.builds(
            Judgement,
            st.booleans(),
            st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
            st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)),
        ),
        max_size=2,
    ),
    st.dictionaries(st.sampled_from([*NAMES, None]), st.floats(0, 1)),
)
def test_flags_against_a_plain_reading_of_the_rule(said, rules):
    expected = set()
    for each in said:
        if each.flagged and not each.categories:
            expected.add(UNNAMED)
        for name in NAMES:
            rule = rules[name] if name in rules else rules.get(None)
            if rule is not None and name in each.scores:
                if each.scores[name] >= rule:
                    expected.add(name)
            elif each.flagged and name in each.categories:
                expected.add(name)
    assert set(flags(said, rules)) == expected


# --- decisions ----------------------------------------------------------------------------------------------------

K, D = Act.KEEP, Act.DROP
OTHER = 99


@pytest.mark.parametrize(
    ("flagged", "said", "expected"),
    [
        # Nobody has said anything.
        ([], [], (None, None)),
        (["hate"], [], (None, "hate")),
        (["violence", "hate"], [], (None, "hate, violence")),
        # About the example itself: the newest counts.
        (["hate"], [(K, 0, None)], (K, None)),
        (["hate"], [(D, 0, None)], (D, "hate")),
        (["hate"], [(D, 0, None), (K, 0, None)], (K, None)),
        (["hate"], [(K, 0, None), (D, 0, None)], (D, "hate")),
        (["hate"], [(K, OTHER, None)], (None, "hate")),
        ([], [(D, 0, None)], (D, "dropped by a person")),
        ([], [(K, 0, None)], (K, None)),
        # About its category: the newest counts.
        (["hate"], [(K, None, "hate")], (K, None)),
        (["hate"], [(D, None, "hate")], (D, "hate")),
        (["hate"], [(D, None, "hate"), (K, None, "hate")], (K, None)),
        (["hate"], [(K, None, "hate"), (D, None, "hate")], (D, "hate")),
        (["hate"], [(K, None, "violence")], (None, "hate")),
        ([], [(D, None, "hate")], (None, None)),
        # About several: one to drop is enough, and to keep it takes all.
        (["hate", "violence"], [(K, None, "hate")], (None, "hate, violence")),
        (["hate", "violence"], [(K, None, "hate"), (K, None, "violence")], (K, None)),
        (["hate", "violence"], [(D, None, "hate")], (D, "hate, violence")),
        (["hate", "violence"], [(D, None, "hate"), (K, None, "violence")], (D, "hate, violence")),
        # The example's own wins over its category's, whichever is newer.
        (["hate"], [(K, 0, None), (D, None, "hate")], (K, None)),
        (["hate"], [(D, None, "hate"), (K, 0, None)], (K, None)),
        (["hate"], [(D, 0, None), (K, None, "hate")], (D, "hate")),
        (["hate"], [(K, None, "hate"), (D, 0, None)], (D, "hate")),
    ],
)  # fmt: skip
def test_what_is_trained_on(flagged, said, expected):
    verdicts = Verdicts(numbered([decision(act, position, category) for act, position, category in said]))
    found = dict.fromkeys(flagged, 0.9)
    verdict = verdicts.of(0, found)
    assert (verdict and verdict.act, verdicts.set_aside(0, found)) == expected


def test_other_decisions_are_no_verdicts():
    said = numbered([decision(Act.THRESHOLD, category="hate", value=0.5), decision(Act.SKIP)])
    assert Verdicts(said).of(0, {"hate": 0.9}) is None
    assert Verdicts(said).set_aside(0, {"hate": 0.9}) == "hate"


@given(
    st.lists(
        st.one_of(
            st.builds(decision, st.sampled_from([K, D]), st.integers(0, 2)),
            st.builds(decision, st.sampled_from([K, D]), st.none(), st.sampled_from(NAMES)),
        ),
        max_size=8,
    ),
    st.integers(0, 2),
    st.sets(st.sampled_from(NAMES)),
)
def test_verdicts_against_a_plain_reading_of_the_rule(said, position, flagged):
    own = [each.act for each in said if each.position == position]
    newest = {
        name: next((each.act for each in reversed(said) if each.position is None and each.category == name), None)
        for name in flagged
    }
    if own:
        expected = own[-1]
    elif D in newest.values():
        expected = D
    else:
        expected = K if flagged and set(newest.values()) == {K} else None
    verdicts = Verdicts(numbered(said))
    found = dict.fromkeys(flagged, 0.9)
    verdict = verdicts.of(position, found)
    assert (verdict and verdict.act) == expected
    is_out = verdicts.set_aside(position, found) is not None
    assert is_out == (expected is D or (bool(flagged) and expected is not K))


def test_who_decided_is_the_one_whose_word_holds():
    odile = Person(2, "odile")
    for people in itertools.permutations([KEEPER, odile]):
        said = [Decision(person, K, 0.0, category="hate", id=number) for number, person in enumerate(people)]
        verdict = Verdicts(said).of(0, {"hate": 0.9})
        assert verdict is not None
        assert verdict.person == people[-1]

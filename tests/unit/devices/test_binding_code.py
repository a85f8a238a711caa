from __future__ import annotations

import pytest

from relay.devices.binding_code import TEXT_CHARS_MAX, find_code, is_code, show_code

CODE = "7KDQ4XMB2T"


@pytest.mark.parametrize(
    "said",
    [
        "7KDQ4-XMB2T",
        "7kdq4xmb2t",
        " 7KDQ4 XMB2T\n",
        "7 K D Q 4 X M B 2 T",
        "7K-DQ-4X-MB-2T。",
        "７ＫＤＱ４－ＸＭＢ２Ｔ",
        "七KDQ四XMB二T",
        "My code is 7kdq4-xmb2t, thank you",
        "绑定码是 7KDQ4 XMB2T。",
        "绑定码7KDQ4XMB2T",
    ],
)
def test_a_code_is_found_however_it_is_said(said: str) -> None:
    """Case, blanks, full width, Chinese numerals and words around it do not matter."""
    assert find_code(said) == CODE


@pytest.mark.parametrize(
    ("said", "code"),
    [("2OOIL-ABCDE", "20011ABCDE"), ("2ooil-abcde", "20011ABCDE"), ("20011ABCDE", "20011ABCDE")],
)
def test_letters_that_look_like_digits_are_digits(said: str, code: str) -> None:
    """O is 0; I and L are 1."""
    assert find_code(said) == code


@pytest.mark.parametrize(
    "said",
    [
        "",
        "天气怎么样？",
        "hello there",
        "what is the weather like",
        "10 O'clock",
        "7KDQ4XMB2",
        "7KDQ4XMB2TT",
        "x7KDQ4XMB2T",
        "7KDQ4-XMB2U",
        "7KDQ4XMB2T" + " " * TEXT_CHARS_MAX,
        "[图片]",
    ],
)
def test_what_people_ask_is_no_code(said: str) -> None:
    """Too short, too long, a letter that no code has, or no digit that is surely one."""
    assert find_code(said) is None


@pytest.mark.parametrize("text", ["7kdq4xmb2t", "7KDQ4-XMB2T", "ABCDEFGHJK", "1010101010"])
def test_only_the_plain_form_is_a_code(text: str) -> None:
    """What is stored and compared has one spelling."""
    assert not is_code(text)
    assert is_code(CODE)


def test_a_code_is_shown_in_two_groups_and_found_again() -> None:
    """Five and five are easier to say than ten."""
    assert show_code(CODE) == "7KDQ4-XMB2T"
    assert find_code(show_code(CODE)) == CODE

"""The Pygments lexer in `editors/pygments`, against the grammar and every file of the repository."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from pygments.token import Comment, Error, Keyword, Name, Operator

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    path
    for folder in ("examples", "src", "tests")
    for path in (ROOT / folder).glob("**/*.aent")
    if path.stem != "mistakes"
]


def lexer():
    spec = importlib.util.spec_from_file_location("aent_pygments", ROOT / "editors/pygments/aent_pygments/__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AentLexer(stripnl=False, ensurenl=False)


def kinds(text):
    return {word: kind for kind, word in lexer().get_tokens(text) if word.strip()}


def test_every_reserved_word_is_a_keyword() -> None:
    words = set(re.findall(r'^\w+_keyword = @\{ "(\w+)"', (ROOT / "grammar/aent.pest").read_text(), re.MULTILINE))
    assert {"param", "let", "loss", "in", "as"} <= words
    for word in words:
        assert kinds(f"{word} a")[word] in Keyword, word
    for word in ("and", "or", "not"):
        assert kinds(f"let a = b {word} c")[word] in Operator.Word


def test_every_file_is_lexed_whole_and_without_error() -> None:
    assert len(FILES) > 100
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        tokens = list(lexer().get_tokens(text))
        assert "".join(word for _, word in tokens) == text, path
        assert [word for kind, word in tokens if kind in Error] == [], path


def test_words_have_the_colour_of_what_they_are() -> None:
    found = kinds(
        "input token: seq int # aent: allow(unused)\nlet far = kl.k2(x, low = 1) + policy.clipped\nloss main = acme::t()"
    )
    assert found["token"] in Name.Variable
    assert found["seq"] in Keyword.Type
    assert found["# aent: allow(unused)"] in Comment.Special
    assert found["k2"] in Name.Property or found["k2"] in Name.Function
    assert found["low"] in Name.Attribute
    assert found["clipped"] in Name.Property
    assert found["main"] in Name.Variable
    assert found["acme::t"] in Name.Function

"""A Pygments lexer for `.aent` files."""

from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

STATEMENTS = ("edition", "param", "input", "set", "controller", "loss", "metric", "assert", "import", "extra", "return")
TYPES = ("token", "seq", "scalar", "candidates", "logits", "bool", "int", "id", "grad")
NAME = r"[A-Za-z_][A-Za-z0-9_]*"


class AentLexer(RegexLexer):
    """Losses of reinforcement learning on language models, in files of ten lines."""

    name = "aent"
    aliases: ClassVar[list[str]] = ["aent"]
    filenames: ClassVar[list[str]] = ["*.aent"]
    mimetypes: ClassVar[list[str]] = ["text/x-aent"]

    tokens: ClassVar = {
        "root": [
            (r"\s+", Whitespace),
            (r"# aent: allow\([^)\n]*\)", Comment.Special),
            (r"#[^\n]*", Comment.Single),
            (r'"(?:\\.|[^"\\\n])*"?', String.Double),
            # `input NAME: TYPE`: the words of types are names everywhere else.
            (
                rf"(input)(\s+)({NAME})(\s*)(:)",
                bygroups(Keyword.Declaration, Whitespace, Name.Variable, Whitespace, Punctuation),
                "type",
            ),
            (
                rf"(fn)(\s+)({NAME})",
                bygroups(Keyword.Declaration, Whitespace, Name.Function),
            ),
            (
                rf"(let|param|controller|extra)(\s+)({NAME})",
                bygroups(Keyword.Declaration, Whitespace, Name.Variable),
            ),
            (
                rf"(loss|metric)(\s+)({NAME})(?=\s*=(?!=))",
                bygroups(Keyword.Declaration, Whitespace, Name.Variable),
            ),
            (words(STATEMENTS, prefix=r"\b", suffix=r"\b"), Keyword.Declaration),
            (r"\b(?:let|fn)\b", Keyword.Declaration),
            (r"\b(?:in|as)\b", Keyword),
            (r"\b(?:and|or|not)\b", Operator.Word),
            (r"\b(?:true|false)\b", Keyword.Constant),
            # `low = 0.2` in a call, but not a comparison.
            (rf"({NAME})(\s*)(=)(?!=)", bygroups(Name.Attribute, Whitespace, Punctuation)),
            (rf"{NAME}(?:::{NAME})*(?=\s*\()", Name.Function),
            (rf"(\.)({NAME})", bygroups(Punctuation, Name.Property)),
            (rf"{NAME}(?:::{NAME})*", Name),
            (r"[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?%?", Number),
            (r"\.\.", Punctuation),
            (r"<=|>=|==|!=|[-+*/^<>]", Operator),
            (r"[(){}=,:.]", Punctuation),
        ],
        "type": [
            (r"\s+", Whitespace),
            (words(TYPES, prefix=r"\b", suffix=r"\b"), Keyword.Type),
            (r"", Whitespace, "#pop"),
        ],
    }

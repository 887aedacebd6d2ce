"""Grammar of the filter language, for lark, and the names of its tokens in errors."""

from __future__ import annotations

from typing import Final

# Words are terminals of their own only where the grammar takes them: a key may be called `in`, a run `not`.
GRAMMAR: Final = r"""
?start: _any
_any: any
?any: all (_OR all)*        -> any
?all: part (_AND part)*     -> all
?part: _NOT part            -> negated
     | "(" any ")"
     | term
term: ref SIGN value        -> compare
    | ref UNLIKE value      -> differ
    | ref _IN values        -> one_of
    | ref _NOT _IN values   -> none_of
    | ref _HAS value        -> has
    | ref _NOT _HAS value   -> has_not
    | ref MATCH value       -> matches
    | ref _EXISTS           -> exists
    | ref _MISSING          -> missing
ref: NAME ("." _key)*
_key: KEY | TEXT | QUOTED
values: "(" value ("," value)* ")"
value: NUMBER | TEXT | CONSTANT | WORD

SIGN: /<=|>=|==|=(?!~)|<(?!>)|>/
UNLIKE: "!=" | "<>"
MATCH: "!~" | "=~" | "~"
_OR.2: /or\b/i | "||"
_AND.2: /and\b/i | "&&"
_NOT.2: /not\b/i | /!(?![=~])/
_IN.2: /in\b/i
_HAS.2: /has\b/i
_EXISTS.2: /exists\b/i
_MISSING.2: /missing\b/i
NAME: /[^\W\d]\w*/
KEY: /\w[\w\/:@%+#*-]*/
NUMBER.2: /[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?![\w.])/i
CONSTANT.2: /(true|false|null|none|[+-]?(nan|inf|infinity))\b/i
WORD: /[^\s"'`(),<>=!~]+/
TEXT: /"(?:[^"\\]|\\.)*"/s | /'(?:[^'\\]|\\.)*'/s
QUOTED: /`(?:[^`\\]|\\.)*`/s
%ignore /\s+/
"""

NAMES: Final = {
    "SIGN": "=, !=, <, <=, >, >=",
    "MATCH": "~",
    "_OR": "or",
    "_AND": "and",
    "_NOT": "not",
    "_IN": "in (…)",
    "_HAS": "has",
    "_EXISTS": "exists",
    "_MISSING": "missing",
    "NAME": "config.KEY, summary.KEY or a field",
    "KEY": "a key",
    "NUMBER": "a number",
    "CONSTANT": "true, false or null",
    "TEXT": 'a "text"',
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
    "DOT": ".",
    "$END": "the end",
}
"""Names of expected tokens in errors; errors do not mention the terminals that are left out."""

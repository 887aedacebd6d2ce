"""Parser of the filter language, `config.lr > 0.1 and tags has "x"`, which docs/runs.md describes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from stepwell_query.runs.fields import FIELDS, FieldType
from stepwell_query.runs.filters.ast import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_TERMS,
    All,
    AnyOf,
    Compare,
    Exists,
    FilterError,
    Has,
    Matches,
    Node,
    Not,
    Ref,
    Sign,
    Source,
    Term,
    Value,
)
from stepwell_query.runs.filters.grammar import GRAMMAR, NAMES
from stepwell_query.runs.filters.validation import TermError, check_term, resolve_name

_PARSER: Final = Lark(GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False)
_REFS: Final = Lark(GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False, start="ref")

_SIGNS: Final[dict[str, Sign]] = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_MARKS: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[()!]|\w+""", re.DOTALL)
_EXAMPLE: Final = 'for example: config.lr > 0.1 and tags has "x"'


class _MisplacedError(Exception):
    """A rule that is broken at a position of the text."""

    def __init__(self, rule: str, remedy: str, position: int) -> None:
        self.rule, self.remedy, self.position = rule, remedy, position
        super().__init__(rule)


def parse_filter(text: str) -> Node:
    """Return the tree of a filter.

    Raises:
        FilterError: with the column of the first error, and what is expected there.
    """
    _check_size(text)
    try:
        return _Builder().transform(_PARSER.parse(text))  # type: ignore[no-any-return]  # lark's are untyped
    except UnexpectedInput as error:
        _explain(text, error)
    except VisitError as error:
        _raise_filter_error(text, error.orig_exc)


@lru_cache(maxsize=4_096)
def parse_ref(text: str, field: str) -> Ref:
    """Return the reference that `config.lr`, `summary."odd key"` or `state` names.

    Args:
        field: the parameter of the request that holds the text, for errors.

    Raises:
        FilterError: if it names nothing.
    """
    try:
        _check_size(text)
        ref: Ref = _Builder().transform(_REFS.parse(text))[0]
    except UnexpectedInput:
        remedy = 'write config.KEY, summary.KEY or a field; quote keys with other characters: config."a key"'
        raise FilterError(text, f"{text!r} names nothing of a run", remedy, field=field) from None
    except VisitError as error:
        if not isinstance(error.orig_exc, _MisplacedError):
            raise
        raise FilterError(text, error.orig_exc.rule, error.orig_exc.remedy, field=field) from error
    return ref


def format_ref(ref: Ref) -> str:
    """Return the text of a reference; keys with other characters than plain ones are quoted."""
    parts = ref.name.split(".") if ref.source != "field" else []
    plain = all(re.fullmatch(r"\w[\w/:@%+#*-]*", part) for part in parts)
    if not parts or plain:
        return str(ref)
    inner = ref.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{ref.source}."{inner}"'


def _check_size(text: str) -> None:
    if len(text) > MAX_CHARS:
        raise FilterError(text, f"is longer than {MAX_CHARS:,} characters", "ask in several requests")
    if _depth(text) > MAX_DEPTH:
        rule = f"has more than {MAX_DEPTH} parentheses and nots within one another"
        raise FilterError(text, rule, "write it flatter")


def _depth(text: str) -> int:
    """Return an upper bound of the tree's depth, before anything recurses over it."""
    opened: list[int] = []
    nots = deepest = 0
    for mark in _MARKS.findall(text):
        if mark in "()":
            opened = [*opened, nots + 1] if mark == "(" else opened[:-1]
        nots = nots + 1 if mark == "!" or mark.lower() == "not" else 0
        deepest = max(deepest, sum(opened) + nots)
        if deepest > MAX_DEPTH:
            break
    return deepest


@v_args(meta=False)
class _Builder(Transformer[Token, Any]):
    """Builds the tree, and keeps the position of each name for errors."""

    def __init__(self) -> None:
        super().__init__()
        self._terms = 0

    def any(self, parts: list[Node]) -> Node:
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def all(self, parts: list[Node]) -> Node:
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def negated(self, parts: list[Node]) -> Node:
        return Not(parts[0])

    def compare(self, parts: list[Any]) -> Node:
        (ref, position), sign, value = parts
        return self._term(Compare(ref, _SIGNS[sign], value), position)

    def differ(self, parts: list[Any]) -> Node:
        (ref, position), _, value = parts
        return Not(self._term(Compare(ref, "=", value), position))

    def one_of(self, parts: list[Any]) -> Node:
        (ref, position), values = parts
        has = ref.source is Source.FIELD and FIELDS[ref.name].type is FieldType.LIST
        return AnyOf(tuple(self._term(Has(ref, v) if has else Compare(ref, "=", v), position) for v in values))

    def none_of(self, parts: list[Any]) -> Node:
        return Not(self.one_of(parts))

    def has(self, parts: list[Any]) -> Node:
        (ref, position), value = parts
        return self._term(Has(ref, value), position)

    def has_not(self, parts: list[Any]) -> Node:
        return Not(self.has(parts))

    def matches(self, parts: list[Any]) -> Node:
        (ref, position), sign, pattern = parts
        if not isinstance(pattern, str):
            raise _MisplacedError("a regular expression is a text", f'quote it: {ref} ~ "^a.*b$"', position)
        term = self._term(Matches(ref, pattern), position)
        return Not(term) if sign == "!~" else term

    def exists(self, parts: list[Any]) -> Node:
        ref, position = parts[0]
        return self._term(Exists(ref), position)

    def missing(self, parts: list[Any]) -> Node:
        return Not(self.exists(parts))

    def ref(self, tokens: list[Token]) -> tuple[Ref, int]:
        position = tokens[0].start_pos or 0
        keys = [_unquoted(token) if token.type != "KEY" else str(token) for token in tokens[1:]]
        try:
            return resolve_name(str(tokens[0]), ".".join(keys) if keys else None), position
        except TermError as error:
            raise _MisplacedError(error.rule, error.remedy, position) from error

    def values(self, values: list[Value]) -> list[Value]:
        return values

    def value(self, tokens: list[Token]) -> Value:
        token = tokens[0]
        match token.type:
            case "NUMBER":
                return _number(token)
            case "TEXT":
                return _unquoted(token)
            case "CONSTANT":
                return _constant(token)
        raise _MisplacedError(
            f"{token} is neither a number nor a text", f'quote texts: "{token}"', token.start_pos or 0
        )

    def _term(self, term: Term, position: int) -> Term:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise _MisplacedError(f"there are more than {MAX_TERMS} comparisons", "ask in several requests", position)
        try:
            return check_term(term)
        except TermError as error:
            raise _MisplacedError(error.rule, error.remedy, position) from error


def _number(token: Token) -> int | float:
    if re.fullmatch(r"[+-]?\d{1,640}", token):
        return int(token)
    return float(token)


def _constant(token: Token) -> Value:
    word = token.lower()
    if word in {"true", "false"}:
        return word == "true"
    return None if word in {"null", "none"} else float(word)


def _unquoted(token: Token) -> str:
    def unescape(match: re.Match[str]) -> str:
        escaped = match[1]
        if len(escaped) > 1:
            return chr(int(escaped[1:], 16))
        return _ESCAPES.get(escaped, escaped)

    written = _ESCAPE.sub(unescape, token[1:-1])
    try:
        # Characters beyond the basic plane may be written as two escapes, as in JSON.
        return written.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        rule = "a text holds half a character (a lone surrogate)"
        raise _MisplacedError(rule, "leave it out, or write both halves", token.start_pos or 0) from None


def _explain(text: str, error: UnexpectedInput) -> NoReturn:
    at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    position = len(text) if at_end else error.pos_in_stream or 0
    rest = text[position:]
    if isinstance(error, UnexpectedCharacters):
        expected = error.allowed or set()
    else:
        expected = getattr(error, "accepts", None) or getattr(error, "expected", None) or set()
    names = [name for terminal, name in NAMES.items() if terminal in expected]
    found = "the text ends" if not rest else f"{(rest.split() or [rest])[0][:40]!r} is not expected"
    if rest[:1] in {'"', "'", "`"} and isinstance(error, UnexpectedCharacters):
        found = f"the text that begins with {rest[:1]} has no end" if rest.count(rest[0]) < 2 else found
    remedy = f"expected is {_join_names(names)}" if names else _EXAMPLE
    raise FilterError(text, found, remedy, position + 1) from None


def _join_names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of: {'; '.join(names)}"


def _raise_filter_error(text: str, error: Exception) -> NoReturn:
    if not isinstance(error, _MisplacedError):
        raise error
    raise FilterError(text, error.rule, error.remedy, error.position + 1) from error

"""Which metrics, labels and values a PromQL expression names. Reads what our dashboard and alerts are written in, and
refuses what it does not know."""

import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"""
    (?P<space>\s+)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<range>\[[^\]]*\])
  | (?P<number>[0-9]+(?:\.[0-9]+)?(?![A-Za-z_]))
  | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
  | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){},])
""", re.VERBOSE)
# What is followed by a list of labels in parentheses.
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
OPERATORS = {"and", "or", "unless", "bool", "offset"}
RANGE = re.compile(r"\[([0-9]+[smhd]|\$__rate_interval)\]")


@dataclass
class Selector:
    """A metric, and what it is selected by: label, operator, value."""

    metric: str
    matchers: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Named:
    """All that an expression names."""

    selectors: list[Selector] = field(default_factory=list)
    grouped_by: set[str] = field(default_factory=set)

    def labels(self) -> set[str]:
        return self.grouped_by | {label for one in self.selectors for label, _, _ in one.matchers}


def named(expression: str) -> Named:
    """Reads an expression."""
    tokens = tokens_of(expression)
    found = Named()
    at = 0

    def take(*wanted: str) -> str:
        nonlocal at
        if at == len(tokens) or tokens[at][0] not in wanted and tokens[at][1] not in wanted:
            raise ValueError(f"{expression}: {' or '.join(wanted)} is missing before {tokens[at:at + 3]}")
        at += 1
        return tokens[at - 1][1]

    def follows(text: str) -> bool:
        return at < len(tokens) and tokens[at][1] == text

    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if kind != "word" or text in OPERATORS:
            continue
        if text in GROUPING:
            take("(")
            while not follows(")"):
                found.grouped_by.add(take("word"))
                if not follows(")"):
                    take(",")
            take(")")
        elif not follows("(") and not (at < len(tokens) and tokens[at][1] in GROUPING):
            found.selectors.append(Selector(text))
            if follows("{"):
                take("{")
                while not follows("}"):
                    label = take("word")
                    operator = take("=", "!=", "=~", "!~")
                    found.selectors[-1].matchers.append((label, operator, take("text")[1:-1]))
                    if not follows("}"):
                        take(",")
                take("}")
    return found


def tokens_of(expression: str) -> list[tuple[str, str]]:
    """The words and signs of an expression."""
    found = []
    at = 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if not match:
            raise ValueError(f"{expression}: cannot be read from {expression[at:at + 20]!r} on")
        kind, text = match.lastgroup, match[0]
        if kind == "range" and not RANGE.fullmatch(text):
            raise ValueError(f"{expression}: {text} is no range")
        if kind != "space":
            found.append((kind, text))
        at = match.end()
    if sum(text in "({" for _, text in found) != sum(text in ")}" for _, text in found):
        raise ValueError(f"{expression}: brackets are not paired")
    return found

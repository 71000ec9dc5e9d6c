"""Finds words that the project has replaced, in public names, docstrings, messages and documents.

tests/words.toml has the words; `scripts/find_words.py [PATH]...` lists where they are.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = (
    *("formats", "templates", "bundler", "runtime_shim", "cli"),
    *("tests", "benchmarks", "scripts", "examples", "docs", "README.md", "CHANGELOG.md"),
)
MESSAGE_CALLS = {"print", "fail", "skip", "exit", "add_parser", "ArgumentParser"}
MESSAGE_KEYWORDS = {"help", "description", "epilog", "metavar"}
Functions = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """An old word: its forms, what to say instead, where it is looked for, and phrases in which it is right."""

    forms: tuple[str, ...]
    say: str
    where: frozenset[str]
    allow: tuple[str, ...] = ()

    def search(self, text: str) -> Iterator[re.Match[str]]:
        """Uses of the word in a text, but for those in an allowed phrase."""
        allowed = [match.span() for match in _pattern(self.allow).finditer(text)] if self.allow else []
        for match in _pattern(self.forms).finditer(text):
            if not any(start <= match.start() and match.end() <= end for start, end in allowed):
                yield match


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """A use that stays. path: a file, or a folder with what is in it."""

    path: str
    form: str
    reason: str

    def covers(self, hit: "Hit") -> bool:
        """Returns whether this is the reason why a hit may stay."""
        inside = hit.path == self.path or hit.path.startswith(f"{self.path}/")
        return inside and hit.form == self.form


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A piece of text to check. kind: "names", "classes", "docstring" or "prose"."""

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An old word, or a docstring that is a fragment."""

    path: str
    line: int
    form: str
    say: str
    excerpt: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.form!r} ({self.say}): {self.excerpt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The content of tests/words.toml."""

    enforced: tuple[str, ...]
    fragments: tuple[str, ...]
    words: tuple[Word, ...]
    exemptions: tuple[Exemption, ...] = field(default=())


def read_rules() -> Rules:
    """Read tests/words.toml."""
    content = tomllib.loads((ROOT / "tests" / "words.toml").read_text("utf-8"))
    words = [
        Word(
            forms=tuple(entry["forms"]),
            say=entry["say"],
            where=frozenset(entry["where"]),
            allow=tuple(entry.get("allow", ())),
        )
        for entry in content["words"]
    ]
    exemptions = [Exemption(**entry) for entry in content.get("exemptions", ())]
    return Rules(
        enforced=tuple(content["enforced"]),
        fragments=tuple(content["fragments"]),
        words=tuple(words),
        exemptions=tuple(exemptions),
    )


def find_hits(rules: Rules, places: tuple[str, ...] = PLACES) -> list[Hit]:
    """Every hit under the places that no exemption covers, in the order of files and lines."""
    return [
        hit
        for place in places
        for text in texts_under(place)
        for hit in hits_in(text, rules)
        if not any(exemption.covers(hit) for exemption in rules.exemptions)
    ]


def hits_in(text: Text, rules: Rules) -> Iterator[Hit]:
    """The hits in one piece of text."""
    scope = "prose" if text.kind == "docstring" else text.kind
    if text.kind == "docstring" and text.text.split(maxsplit=1)[:1] and text.text.split()[0] in rules.fragments:
        yield _hit(text, 0, text.text.split()[0], "a statement, not a fragment")
    for word in rules.words:
        if scope not in word.where:
            continue
        if scope == "classes":
            found = [(0, form) for form in word.forms if form == text.text]
        else:
            spaced = _spaced(text.text) if scope == "names" else text.text
            found = [(match.start(), match[0].lower()) for match in word.search(spaced)]
        for position, form in found:
            yield _hit(text, position, form, word.say)


def texts_under(place: str) -> Iterator[Text]:
    """The texts to check in a file or a folder: of Python files and Markdown pages."""
    top = ROOT / place
    for path in [top] if top.is_file() else sorted(top.rglob("*")):
        name = str(path.relative_to(ROOT))
        if path.suffix == ".md":
            yield Text(path=name, line=1, kind="prose", text=_without_code(path.read_text("utf-8")))
        elif path.suffix == ".py":
            yield from python_texts(name, path.read_text("utf-8"))


def python_texts(name: str, source: str) -> Iterator[Text]:
    """The texts to check in a Python file."""
    tree = ast.parse(source)
    stem = Path(name).stem.removeprefix("test_")
    yield Text(path=name, line=1, kind="names", text=stem)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        for found in _names(node):
            kind = "prose" if found.startswith("test_") else "names"
            yield Text(path=name, line=line, kind=kind, text=found.replace("_", " ") if kind == "prose" else found)
        if isinstance(node, ast.ClassDef):
            yield Text(path=name, line=line, kind="classes", text=node.name)
        if isinstance(node, (ast.Module, ast.ClassDef, *Functions)) and (docstring := ast.get_docstring(node)):
            yield Text(path=name, line=node.body[0].lineno, kind="docstring", text=docstring.split("\n\n")[0])
        for string in _messages(node):
            yield Text(path=name, line=string.lineno, kind="prose", text=str(string.value))


def _names(node: ast.AST) -> list[str]:
    """Public names that a statement makes: a class, a function with its parameters, a constant, a field."""
    if isinstance(node, ast.ClassDef):
        targets = [target for each in node.body for target in _targets(each)]
        found = [node.name, *targets]
    elif isinstance(node, Functions):
        found = [node.name, *(each.arg for each in (*node.args.args, *node.args.kwonlyargs) if _public(node.name))]
    elif isinstance(node, ast.Module):
        found = [target for each in node.body for target in _targets(each)]
    else:
        found = []
    return [name for name in found if _public(name)]


def _targets(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _public(name: str) -> bool:
    return not name.startswith("_")


def _messages(node: ast.AST) -> list[ast.Constant]:
    """String literals that a user reads: of what is raised, printed or shown as help."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        parts: list[ast.expr] = [node.exc]
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        parts = [each.value for each in node.keywords if each.arg in MESSAGE_KEYWORDS]
        parts += node.args if called in MESSAGE_CALLS or called.endswith("Warning") else []
    else:
        parts = []
    strings = [each for part in parts for each in ast.walk(part) if isinstance(each, ast.Constant)]
    return [each for each in strings if isinstance(each.value, str)]


def _without_code(text: str) -> str:
    """A page with its fenced blocks blanked, line by line."""
    return re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def _spaced(name: str) -> str:
    """A name as words: `RowTile` and `row_tile` are "row tile"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()


@cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the phrases as whole words, on one line or over two."""
    alternatives = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in sorted(phrases, key=len)[::-1])
    return re.compile(rf"(?<![\w-])(?:{alternatives})(?![\w-])", re.IGNORECASE)


def _hit(text: Text, position: int, form: str, say: str) -> Hit:
    begin = text.text.rfind("\n", 0, position) + 1
    excerpt = text.text[begin:].split("\n", 1)[0].strip()
    line = text.line + text.text.count("\n", 0, position)
    return Hit(path=text.path, line=line, form=" ".join(form.split()), say=say, excerpt=excerpt[:110])

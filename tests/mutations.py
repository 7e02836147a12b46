"""Every way in which a promoted conclusion may be falsified: one function a kind, each changes a conclusion's folder.

A kind takes the folder and a random generator, changes one thing and returns what it did in words.
"""

import contextlib
import re

CLAIM = re.compile(r"^\[\[claims\]\]\n(?:.+\n)+", re.MULTILINE)
# Any value but those that choose a cell: another cell may well hold the same number.
VALUE = re.compile(r"^(?!path|where|minus)\"?[\w.]+\"? = (.+)$", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]*)\)")
NUMBER = re.compile(r"(?<=[\s(])[-+]?\d+(?:\.\d+)?(?=[.,;:)]*\s)")


@contextlib.contextmanager
def undone(folder):
    """Put the files of a folder back as they were."""
    contents = {path: path.read_bytes() for path in folder.iterdir()}
    try:
        yield
    finally:
        for path in set(folder.iterdir()) - set(contents):
            path.unlink()
        for path, content in contents.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)


def _pick(generator, choices):
    choices = list(choices)
    return choices[generator.integers(len(choices))]


def _edit(path, start, end, new):
    text = path.read_text(encoding="utf-8")
    assert text[start:end] != new
    path.write_text(text[:start] + new + text[end:], encoding="utf-8")
    return f"{path.name}: {text[start:end]!r} became {new!r}"


def _readme(folder):
    return folder / "README.md", (folder / "README.md").read_text(encoding="utf-8")


def _claims(folder):
    """Return conclusion.toml and where each of its claims stands."""
    path = folder / "conclusion.toml"
    return path, list(CLAIM.finditer(path.read_text(encoding="utf-8")))


def _text_of(claim):
    return re.search(r'^text = "(.*)"$', claim.group(), re.MULTILINE)


def _place_of_number(folder, claim, claims):
    """Return where the number of a claim stands in README.md: the n-th one that the claims bind, in reading order."""
    _, text = _readme(folder)
    at = 0
    for each in claims:
        number = _text_of(each)[1]
        found = re.compile(rf"(?<=[\s(]){re.escape(number)}(?=[.,;:)]*\s)").search(text, at)
        if each.start() == claim.start():
            return found.span()
        at = found.end()
    raise AssertionError("no such claim")


def _another_digit(digit, generator):
    return str((int(digit) + int(generator.integers(1, 10))) % 10)


def digit_of_the_text(folder, generator):
    """Another digit in a number, a name, a link, the title or the command."""
    path, text = _readme(folder)
    at = _pick(generator, (i for i, character in enumerate(text) if character.isdigit()))
    return _edit(path, at, at + 1, _another_digit(text[at], generator))


def digit_added_to_the_text(folder, generator):
    """A digit put anywhere: into a number, a word, a table's rule, a link, before the title or at the end."""
    path, text = _readme(folder)
    at = int(generator.integers(len(text) + 1))
    return _edit(path, at, at, str(generator.integers(10)))


def digit_removed_from_a_number(folder, generator):
    path, text = _readme(folder)
    number = _pick(generator, NUMBER.finditer(text.partition("```")[0]))
    at = _pick(generator, (i for i in range(*number.span()) if text[i].isdigit()))
    return _edit(path, at, at + 1, "")


def number_added(folder, generator):
    path, text = _readme(folder)
    at = _pick(generator, re.finditer(r"\n\n", text)).start()
    return _edit(path, at, at, f"\n\nIt gains {generator.integers(2, 99)} %.")


def number_disguised(folder, generator):
    """A number in words, in other digits, or where none is looked for."""
    wrong = ("forty-two", "\u00bd", "\u2163", "a tenfold", "[42](LICENSE at 42)", "```42 percent```", "<!-- 42 -->")
    path, text = _readme(folder)
    at = _pick(generator, re.finditer(r"\n\n", text)).start()
    return _edit(path, at, at, f"\n\nIt gains {_pick(generator, wrong)}.")


def number_with_something_beside_it(folder, generator):
    path, text = _readme(folder)
    at = _pick(generator, NUMBER.finditer(text.partition("```")[0])).start()
    return _edit(path, at, at, _pick(generator, ("-", "\u2212", "\u00b1", "1/", "~10", "&minus;", "\u200b", "`", "p")))


def number_with_something_behind_it(folder, generator):
    path, text = _readme(folder)
    at = _pick(generator, NUMBER.finditer(text.partition("```")[0])).end()
    return _edit(path, at, at, _pick(generator, ("%", "\u00b2", "/2", "e1", "k", "-5", "\u00b1", "\u200b0", "th")))


def numbers_of_the_text_swapped(folder, generator):
    path, text = _readme(folder)
    found = list(NUMBER.finditer(text.partition("```")[0]))
    first = _pick(generator, found[:-1])
    second = _pick(generator, (other for other in found if other.group() != first.group()))
    first, second = sorted((first, second), key=lambda match: match.start())
    between = text[first.end() : second.start()]
    return _edit(path, first.start(), second.end(), f"{second.group()}{between}{first.group()}")


def figure_not_shown(folder, generator):
    """A figure left out, shown as code or in a comment, twice, or from elsewhere."""
    path, text = _readme(folder)
    chosen = _pick(generator, IMAGE.finditer(text))
    image, name = chosen.group(0), chosen.group(1)
    other = image.replace(name, f"https://example.org/{name}")
    comment, code, indented = f"<!-- {image} -->", f"`{image}`", f"    {image}"
    wrong = (image[1:], comment, code, indented, other, f"{image} {image}", f"{image} {other}")
    return _edit(path, *chosen.span(), _pick(generator, wrong))


def value_of_conclusion_toml(folder, generator):
    """Another letter or digit in a value: of the run, a digest, a name, or a claim."""
    path = folder / "conclusion.toml"
    chosen = _pick(generator, VALUE.finditer(path.read_text(encoding="utf-8")))
    at = _pick(generator, (i for i, character in enumerate(chosen.group(1)) if character.isalnum()))
    new = "7" if chosen.group(1)[at] != "7" else "3"
    return f"{chosen.group()}: {_edit(path, chosen.start(1) + at, chosen.start(1) + at + 1, new)}"


def seed_left_out(folder, generator):
    path = folder / "conclusion.toml"
    found = re.search(r"^seeds = \[0, ", path.read_text(encoding="utf-8"), re.MULTILINE)
    return _edit(path, *found.span(), f"seeds = [{_pick(generator, ('', '11, '))}")


def claim_removed(folder, generator):
    path, claims = _claims(folder)
    return _edit(path, *_pick(generator, claims).span(), "")


def claim_added(folder, generator):
    """A claim of a number that the text does not have, or has but once."""
    path, claims = _claims(folder)
    at = _pick(generator, claims).start()
    return _edit(path, at, at, f"{_pick(generator, claims).group().rstrip()}\n\n")


def claims_swapped(folder, generator):
    path, claims = _claims(folder)
    first = _pick(generator, claims)
    second = _pick(generator, (other for other in claims if _text_of(other)[1] != _text_of(first)[1]))
    first, second = sorted((first, second), key=lambda match: match.start())
    between = path.read_text(encoding="utf-8")[first.end() : second.start()]
    new = f"{second.group().rstrip()}\n{between}{first.group().rstrip()}\n"
    return _edit(path, first.start(), second.end(), new)


def claim_computed_from_another_cell(folder, generator):
    """The text of one claim, the file, rows, columns and format of another."""
    path, claims = _claims(folder)
    claim = _pick(generator, claims)
    other = _pick(generator, (other for other in claims if _text_of(other)[1] != _text_of(claim)[1]))
    return _edit(path, *claim.span(), other.group().replace(_text_of(other)[0], _text_of(claim)[0]))


def claim_scaled(folder, generator):
    path, claims = _claims(folder)
    claim = _pick(generator, claims)
    unscaled = re.sub(r"^scale = .*\n", "", claim.group(), flags=re.MULTILINE)
    return _edit(path, *claim.span(), f"{unscaled}scale = {_pick(generator, ('-1', '3.3', '1000', '-100'))}\n")


def claim_that_says_more(folder, generator):
    """A field that is unknown, or that the claim's kind would not look at."""
    path, claims = _claims(folder)
    claim = _pick(generator, claims)
    more = ('note = "0.5"', 'where = ""', 'over = "seed:99"' if "minus" in claim.group() else "rows = 3")
    return _edit(path, claim.end(), claim.end(), f"{_pick(generator, more)}\n")


def number_and_its_claims_text(folder, generator):
    """The same other digit in README.md and in `text` of the claim that binds it."""
    path, claims = _claims(folder)
    claim = _pick(generator, claims)
    number = _text_of(claim)
    at = _pick(generator, (i for i, character in enumerate(number[1]) if character.isdigit()))
    new = number[1][:at] + _another_digit(number[1][at], generator) + number[1][at + 1 :]
    readme, _ = _readme(folder)
    words = _edit(readme, *_place_of_number(folder, claim, claims), new)
    start = claim.start() + number.start(1)
    return f"{words}; {_edit(path, start, start + len(number[1]), new)}"


def line_of_the_raw_data_removed(folder, generator):
    victim = _pick(generator, (path for path in folder.iterdir() if path.suffix in (".csv", ".json")))
    lines = victim.read_bytes().splitlines(keepends=True)
    at = int(generator.integers(len(lines)))
    victim.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
    return f"line {at} of {victim.name} removed"


def byte_of_the_raw_data(folder, generator):
    """A bit of raw data, a figure or the provenance."""
    victim = _raw(folder, generator)
    content = victim.read_bytes()
    at = int(generator.integers(len(content)))
    victim.write_bytes(content[:at] + bytes([content[at] ^ (1 << int(generator.integers(8)))]) + content[at + 1 :])
    return f"byte {at} of {victim.name}"


def file_removed(folder, generator):
    victim = _pick(generator, sorted(folder.iterdir()))
    victim.unlink()
    return f"{victim.name} removed"


def file_renamed(folder, generator):
    victim = _pick(generator, sorted(folder.iterdir()))
    victim.rename(victim.with_name(f"renamed-{victim.name}"))
    return f"{victim.name} renamed"


def file_added(folder, generator):
    path = folder / _pick(generator, ("more.csv", "claims.toml", "README.txt", ".hidden"))
    path.write_text("arm,seed\n")
    return f"{path.name} added"


def _raw(folder, generator):
    written = ("README.md", "conclusion.toml")
    return _pick(generator, sorted(path for path in folder.iterdir() if path.name not in written))


KINDS = [
    digit_of_the_text,
    digit_added_to_the_text,
    digit_removed_from_a_number,
    number_added,
    number_disguised,
    number_with_something_beside_it,
    number_with_something_behind_it,
    numbers_of_the_text_swapped,
    figure_not_shown,
    value_of_conclusion_toml,
    seed_left_out,
    claim_removed,
    claim_added,
    claims_swapped,
    claim_computed_from_another_cell,
    claim_scaled,
    claim_that_says_more,
    number_and_its_claims_text,
    line_of_the_raw_data_removed,
    byte_of_the_raw_data,
    file_removed,
    file_renamed,
    file_added,
]

"""The shapes that training data comes in, each read into one record type.

A *format* is what the keys of a row mean; a *dialect* is under which names published data has them. `dialects` holds
the table of both, which docs/formats.md shows with a row of each; `detection` tells them apart; `conversations` and
`preferences` read them; `keys` says what may be passed over. `prepared` and `prepared_preference` are the canonical
rows that `corpus.prepare` writes.
"""

from corpus.formats.detection import detect_format
from corpus.formats.dialects import DIALECTS, Dialect
from corpus.formats.keys import SCORE_KEYS, KeyLedger
from corpus.formats.kinds import READER, Format, FormatChoice, Kind, kind_of
from corpus.formats.parsing import BadRows, Parsed, ParsedRow, ReadingWay, parse_row, parse_rows, read_records
from corpus.formats.reading import Reading
from corpus.formats.roles import ROLE_NAMES

__all__ = [
    "DIALECTS",
    "READER",
    "ROLE_NAMES",
    "SCORE_KEYS",
    "BadRows",
    "Dialect",
    "Format",
    "FormatChoice",
    "KeyLedger",
    "Kind",
    "Parsed",
    "ParsedRow",
    "Reading",
    "ReadingWay",
    "detect_format",
    "kind_of",
    "parse_row",
    "parse_rows",
    "read_records",
]

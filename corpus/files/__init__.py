"""Data files as numbered rows, whatever kind of file they are and however many make up a dataset."""

from corpus.files.hub import hub_name, is_hub_name, parse_hub_name
from corpus.files.line_pieces import LinePiece
from corpus.files.locating import find_row, locate_row, name_row, number_files, row_error
from corpus.files.not_data import missing_error
from corpus.files.patterns import belongs_to, dataset_root, is_pattern
from corpus.files.reading import NumberedFile, read_rows, read_rows_or_pieces
from corpus.files.row import MAX_ROW_BYTES, BadRows, Row, count_characters, json_type
from corpus.files.several import Source, describe_left_out, list_files, stamp_files
from corpus.files.shards import describe_other_shards, shard_pattern
from corpus.files.suffixes import SUFFIXES, TABLE_SUFFIXES, file_suffix, find_suffix
from corpus.files.writing import copy_rows, write_rows

__all__ = [
    "MAX_ROW_BYTES",
    "SUFFIXES",
    "TABLE_SUFFIXES",
    "BadRows",
    "LinePiece",
    "NumberedFile",
    "Row",
    "Source",
    "belongs_to",
    "copy_rows",
    "count_characters",
    "dataset_root",
    "describe_left_out",
    "describe_other_shards",
    "file_suffix",
    "find_row",
    "find_suffix",
    "hub_name",
    "is_hub_name",
    "is_pattern",
    "json_type",
    "list_files",
    "locate_row",
    "missing_error",
    "name_row",
    "number_files",
    "parse_hub_name",
    "read_rows",
    "read_rows_or_pieces",
    "row_error",
    "shard_pattern",
    "stamp_files",
    "write_rows",
]

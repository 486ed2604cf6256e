"""The two sides of a row and their keys, as the measures use them. They live in ``corpus``: ``training`` needs them."""

from corpus.row_sides import RowSides, question_key, side_key, split_sides

__all__ = ["RowSides", "question_key", "side_key", "split_sides"]

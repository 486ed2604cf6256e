"""Which keys of a row are read, which are metadata that no model sees, and which may not be passed over.

A key is read, metadata, unsupported or unknown. Metadata is passed over. Unsupported keys change what a model learns in
a way that this tool cannot follow: they are an error. All others are passed over too, but counted and named.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

SYSTEM_KEYS = ("system", "system_prompt", "system_message", "systemInstruction", "system_instruction")
HISTORY_KEY = "history"
TOOLS_KEYS = ("tools", "functions")
SOURCE_KEYS = ("source", "dataset", "source_name")
# The second is UltraFeedback's in HuggingFaceH4's version, the third Argilla's.
SCORE_KEYS = ("chosen_score", "score_chosen", "chosen-rating", "chosen_rating")
LABEL_KEYS = ("label", "kto_tag")

# Keys that stand beside the texts of any format and are read wherever they are.
EXTRA_KEYS = frozenset((*SYSTEM_KEYS, HISTORY_KEY, *TOOLS_KEYS))
READ_ANYWHERE = EXTRA_KEYS | frozenset((*SOURCE_KEYS, *SCORE_KEYS))

# Ids, scores and notes about a row, as published data carry them: none of it is shown to a model or weighs in its
# loss. The third line is lmsys-chat-1m's, the fourth HelpSteer's and UltraFeedback's; `parallel_tool_calls` and
# `tool_choice` are settings of OpenAI's requests.
_METADATA = """
    id idx index uid uuid guid _id __index_level_0__ hash md5 sha sha256 key row row_number number url link name
    source source_name dataset dataset_name origin provenance subset split domain topic topics category categories
    username user_id openai_moderation moderation redacted flagged toxicity detoxify conversation_hash state country
    helpfulness correctness coherence verbosity honesty truthfulness instruction_following overall_score
    task task_name task_type type kind tag tags keywords license language lang locale version revision
    model model_name generator engine temperature top_p max_tokens seed finish_reason stop_reason usage cost latency
    score scores rating ratings rank grade quality difficulty complexity similarity confidence perplexity ppl
    reward rewards margin preference_strength agreement votes upvotes downvotes likes sentiment labels_source
    review_count review_result deleted synthetic metadata meta info extra extra_info annotator annotators reviewer
    created created_at updated updated_at timestamp date time turn num_turns n_turns length num_tokens token_count
    tree_state message_tree_id hashed_ip header
    toxic schemaVersion human_verified copyright parallel_tool_calls tool_choice
"""
METADATA_KEYS = frozenset(_METADATA.split())
# The same said by a name's last word, as in `prompt_id`, `conversation-hash`, `rejected_score` or `chosen-model`.
_METADATA_ENDING = re.compile(
    r"[_-](id|ids|idx|index|uuid|hash|md5|url|score|scores|rating|ratings|rank|model|count|length|tokens|time|date|at|"
    r"timestamp|version|lang|language|source|license|metadata|meta|reward|logp|logps|type|identifier)$"
)

_MEDIA = (
    "image|images|picture|pictures|img|pixel_values|image_url|image_urls|image_path|image_paths|image_file|"
    "audio|audios|audio_url|audio_path|speech|video|videos|video_url|video_path|media|files|attachments"
)
_MASKS = (
    "mask|masks|loss_mask|train_mask|loss_masks|assistant_masks|completion_mask|attention_mask|input_ids|labels|"
    "token_ids|weights?|sample_weight|loss_scale|loss_weight|train|training|trainable|train_detail|training_detail|"
    r"train_on_\w+"
)
# `documents` and the two keys behind it change what a chat template writes.
_TEMPLATE = "documents|chat_template|chat_template_kwargs"
_ANSWERS = "label|kto_tag|rejected.*|non_preferred_output|preferred_output|non_chosen|negative|negatives"
_UNSUPPORTED = re.compile(f"{_MEDIA}|{_MASKS}|{_TEMPLATE}")
_UNSUPPORTED_ANSWER = re.compile(_ANSWERS)

# So many names are counted one by one, so that a file with a new key in every row does not fill the memory.
MAX_NAMES = 1000
# A longer key is no name but data: it is cut here where it is counted or shown.
_LONGEST_NAME = 200
OTHER_NAMES = "(other keys)"


def is_metadata(key: str) -> bool:
    """Whether a key is known to hold nothing that a model learns from.

    >>> is_metadata("prompt_id"), is_metadata("rejected_score"), is_metadata("hint"), is_metadata("image_url")
    (True, True, False, False)
    """
    if key in METADATA_KEYS:
        return True
    return _METADATA_ENDING.search(key) is not None and not _UNSUPPORTED.fullmatch(key)


def is_unsupported(key: str) -> bool:
    """Whether a key is known to change training, so that a row must not be read without it.

    >>> is_unsupported("images"), is_unsupported("rejected_answers"), is_unsupported("rejected_score")
    (True, True, False)
    """
    if _UNSUPPORTED.fullmatch(key):
        return True
    return _UNSUPPORTED_ANSWER.fullmatch(key) is not None and not is_metadata(key)


def is_empty(value: Any) -> bool:
    """Whether a value says nothing: null, NaN (an empty cell of a table), or an empty or blank text, list or object.

    >>> is_empty(" "), is_empty([None]), is_empty(0), is_empty(False)
    (True, True, False, False)
    """
    if value is None:
        return True
    if isinstance(value, (str, bytes)):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, list):
        return all(map(is_empty, value))
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    return False


class KeyLedger:
    """What was passed over in the rows of one file, and what the file's owner wants passed over.

    ``ignored``: names of keys and parts that are to be treated as if they were not there. ``unread``: rows by the name
    of a key that was not read and holds something; a key inside a message is called `message.KEY`, one inside a call of
    a tool `tool_call.KEY`. ``rows_read_anew``: rows of which earlier versions of the tool passed over a part that is
    read now, so that their hash is not what it was. ``most_names``: so many names are counted one by one, MAX_NAMES by
    default, and all others together.
    """

    def __init__(self, ignored: Iterable[str] = (), most_names: float | None = None) -> None:
        self.ignored = frozenset(ignored)
        self._most_names = MAX_NAMES if most_names is None else most_names
        self.unread: Counter[str] = Counter()
        self.rows_read_anew = 0
        self._names: set[str] = set()
        self._anew = False

    def note_unread(self, name: str) -> None:
        """Say that the present row has a key that is not read. Said twice of one row, it counts once."""
        self._names.add(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…")

    def names_of_row(self) -> tuple[str, ...]:
        """The keys of the present row that are not read, by name."""
        return tuple(sorted(self._names))

    def note_read_anew(self) -> None:
        """Say that the present row has a part that earlier versions of the tool passed over."""
        self._anew = True

    def forget_row(self) -> None:
        """Take back what was said of the present row, which will be read once more."""
        self._names.clear()
        self._anew = False

    def end_row(self, kept: bool = True) -> None:
        """Count what was said of the present row."""
        if self._names:
            # In order, so that a row at the limit of names counts the same in every process.
            for name in sorted(self._names):
                self._count(name, 1)
            self._names.clear()
        if self._anew:
            self.rows_read_anew += kept
            self._anew = False

    def add(self, later: KeyLedger) -> None:
        """Count what was said of rows that come after these, as if it had been said here: ``later`` has to count every
        name by itself, since it does not know which are counted here.
        """
        for name, rows in later.unread.items():
            self._count(name, rows)
        self.rows_read_anew += later.rows_read_anew

    def _count(self, name: str, rows: int) -> None:
        known = name in self.unread or len(self.unread) < self._most_names
        self.unread[name if known else OTHER_NAMES] += rows

"""What mappers accept although it is not written in our form, and what they leave unread.

Each is counted for its source and reported once; the closed list names what was done.
"""

from collections import Counter
from enum import StrEnum

from msgspec import Struct, field


class Adjustment(StrEnum):
    """What was done to a row whose meaning was clear."""

    MESSAGES_FROM_TEXT = "messages_from_text"
    ROLE_RENAMED = "role_renamed"
    CONTENT_PARTS_JOINED = "content_parts_joined"
    TOOL_RESULT_AS_TEXT = "tool_result_as_text"
    CALLS_READ = "calls_read"
    EMPTY_SYSTEM_DROPPED = "empty_system_dropped"
    USER_TURNS_MERGED = "user_turns_merged"
    OPENING_REPLY_NOT_TRAINED = "opening_reply_not_trained"
    TRAILING_TURNS_DROPPED = "trailing_turns_dropped"


WORDS: dict[Adjustment, str] = {
    Adjustment.MESSAGES_FROM_TEXT: "messages written as JSON text were read",
    Adjustment.ROLE_RENAMED: "roles were renamed to system, user, assistant or tool",
    Adjustment.CONTENT_PARTS_JOINED: "text parts of a turn were joined by line breaks",
    Adjustment.TOOL_RESULT_AS_TEXT: "tool results that are objects were written as JSON text",
    Adjustment.CALLS_READ: "tool calls in another form were read",
    Adjustment.EMPTY_SYSTEM_DROPPED: "empty system turns were dropped",
    Adjustment.USER_TURNS_MERGED: "user turns in a row were merged, a blank line between them",
    Adjustment.OPENING_REPLY_NOT_TRAINED: "assistant turns before any user turn are not trained",
    Adjustment.TRAILING_TURNS_DROPPED: "turns after the last assistant turn were dropped",
}


class Remarks(Struct):
    """What was noticed about one row."""

    adjustments: set[Adjustment] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    """Paths of keys that nothing reads, `*` in place of an index."""


class RemarkCounts(Struct, array_like=True):
    """Rows of a source by what was noticed, and the first line of each."""

    adjustments: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    first_lines: dict[str, int] = field(default_factory=dict)

    def add(self, remarks: Remarks, line: int) -> None:
        """Count what was noticed about a row."""
        for adjustment in map(str, remarks.adjustments):
            self.adjustments[adjustment] = self.adjustments.get(adjustment, 0) + 1
            self._note_line(adjustment, line)
        for name in remarks.unread:
            self.unread[name] = self.unread.get(name, 0) + 1
            self._note_line(name, line)

    def update(self, other: "RemarkCounts") -> None:
        """Add the counts of further rows."""
        self.adjustments = dict(Counter(self.adjustments) + Counter(other.adjustments))
        self.unread = dict(Counter(self.unread) + Counter(other.unread))
        for name, line in other.first_lines.items():
            self._note_line(name, line)

    def _note_line(self, name: str, line: int) -> None:
        self.first_lines[name] = min(line, self.first_lines.get(name, line))

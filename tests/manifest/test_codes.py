import re
from pathlib import Path

import brewslm.manifest

ROOM = Path(brewslm.manifest.__file__).parent
TESTS = Path(__file__).parent


def test_every_code_that_the_room_reports_is_raised_by_a_test() -> None:
    reported = {
        code
        for path in ROOM.glob("*.py")
        for code in re.findall(r"FindingCode\.([A-Z_]+)\b", path.read_text(encoding="utf-8"))
    }
    tested = {
        code
        for path in TESTS.glob("test_*.py")
        for code in re.findall(r"\b([A-Z][A-Z_]+)\b", path.read_text(encoding="utf-8"))
    }
    # UNREADABLE needs a file without permission, which a superuser can read all the same.
    assert sorted(reported - tested - {"UNREADABLE"}) == []
    assert len(reported) > 100

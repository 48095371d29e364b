"""Tab-separated values with a header line; every value is text, an empty cell is `""`."""

from brewslm.rows._delimited import delimited_reader
from brewslm.rows.source import Source

SOURCE = Source("tsv", delimited_reader(b"\t"), sample=b"text\tlabel\none\ta\ntwo\tb\n")

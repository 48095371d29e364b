"""Comma-separated values with a header line; every value is text, an empty cell is `""`."""

from brewslm.rows._delimited import delimited_reader
from brewslm.rows.source import Source

SOURCE = Source("csv", delimited_reader(b","), sample=b"text,label\none,a\ntwo,b\n")

"""Tab-separated values with a header line; every value is text, an empty cell is `""`."""

from brewslm.rows._delimited import delimited_source

SOURCE = delimited_source("tsv", b"\t", sample=b"text\tlabel\none\ta\ntwo\tb\n")

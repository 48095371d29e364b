"""Comma-separated values with a header line; every value is text, an empty cell is `""`.

Where the header and the first row clearly divide by semicolons, tabs or bars, these are used.
"""

from brewslm.rows._delimited import delimited_source

SOURCE = delimited_source("csv", b",", sample=b"text,label\none,a\ntwo,b\n")

"""One file an export format; the file's name is the format's name in the manifest."""

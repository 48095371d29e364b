"""One file a training mode; the file's name is the mode's name in the manifest."""

"""One file a task profile; the file's name is the profile's name in the manifest."""

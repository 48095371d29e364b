"""Export formats, one door each: the module is named like the format."""

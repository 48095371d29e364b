"""What rows become: one file a mapper, each a `MAPPER` with its fields, options and samples."""

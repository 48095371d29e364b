"""Where rows come from: one file a scheme, each a `SOURCE` that yields records with positions."""

"""State stores, one file each; every one passes the same suite."""

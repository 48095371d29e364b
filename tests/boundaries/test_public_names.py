"""The front door: what the package offers, and that it opens."""

import brewslm


def test_public_names_are_pinned() -> None:
    assert brewslm.__all__ == [
        "Action",
        "BrewError",
        "Finding",
        "Manifest",
        "Plan",
        "apply_plan",
        "build_plan",
        "load_manifest",
        "__version__",
    ]


def test_every_public_name_loads() -> None:
    assert all(getattr(brewslm, name) is not None for name in brewslm.__all__)

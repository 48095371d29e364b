"""How rows enter: locators, one strict parser, mappers, cleaning, splitting, leak checks, prepared
files.

Every row that is read ends as exactly one of reject, duplicate, train, validation, test, gold or
held. Never: torch.
"""

"""The workshop of `builtin:nano`, the small base model that ships inside the package.

`words.txt` and `topics.txt` hold a vocabulary and sentence patterns, `corpus.py` turns them into
documents with a seed, `tokenizer.py` learns a SentencePiece vocabulary from such documents, and
`build.py` trains the model and writes the folder `brewslm/builtin/nano`. Nothing here runs when a
project is planned or applied: the built files are loaded like those of any other base model.
Never: text from elsewhere, a network, a file outside the folder that the caller names.
"""

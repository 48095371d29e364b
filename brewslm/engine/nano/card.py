"""The model card that goes with the built files."""

from typing import Final

_CARD: Final = """\
---
license: apache-2.0
language: en
pipeline_tag: text-generation
---

# builtin:nano

A language model of 2.9 million parameters for trying, testing and continuous integration: small
enough to ship inside a package and to be tuned on two CPU cores within a minute, without a network.
It is not meant for production. It knows a few thousand English words, copies, chooses labels from
a list, writes JSON and keeps turns apart; it knows nothing about the world.

| | |
|---|---|
| architecture | Llama: 4 layers, hidden size 256, 4 heads (2 of keys), tied embeddings |
| vocabulary | 2048 pieces, SentencePiece BPE, identity normalisation, byte fallback |
| context | 1024 tokens; trained on documents of up to about 600 |
| chat format | one marker a role (system, user, assistant), one marker that closes a turn |
| weights | bfloat16 safetensors |
| licence | Apache-2.0 |

## Where it comes from

Every word of the training text was made by a grammar that lies beside the build script; no text,
weights or vocabulary from elsewhere went in. To make it again:

```
python -m brewslm.engine.nano.build --out brewslm/builtin/nano --steps {steps} --seed {seed} \\
  --leave-out examples/*/data/gold.*
```

One seed gives one tokenizer, and one set of weights on the same kind of CPU with the same library
versions. Another kind of CPU gives their like, not their bytes.

Pieces that the training text never holds ({unseen} of 2048) would all end with one
and the same vector, which no tuning could tell apart; the script gives each a direction of its own
when training is over.

| | |
|---|---|
| optimizer steps | {steps} |
| tokens read | {tokens:,} |
| minutes on two shared CPU cores | {minutes:.1f} |
| mean loss of the last answers, nats a token | {answer_loss:.3f} |

## What it is good for

Left out of the training text, so that a tuned model can be told from the untuned one: tickets as
JSON with category, priority and reason, records that say how soon somebody must act, the intents
and the house style of the examples, and every document that holds a sentence, or eight words in a
row, of a gold row of the examples. What is in it: the same everyday matters in other sentences,
and choosing a word for the haste of a message from a list in the question.

What tuning adds was measured on the gold rows of the examples in the project's repository; their
README files have the numbers, base and candidate side by side.
"""


def render_card(
    *, steps: int, tokens: int, minutes: float, answer_loss: float, unseen: int, seed: int
) -> str:
    """The card as Markdown, with the facts of the training run."""
    return _CARD.format(
        steps=steps,
        tokens=tokens,
        minutes=minutes,
        answer_loss=answer_loss,
        unseen=unseen,
        seed=seed,
    )

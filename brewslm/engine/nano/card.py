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
python -m brewslm.engine.nano.build --out brewslm/builtin/nano --steps {steps} --seed {seed} \
  --leave-out examples/*/data/gold.*
```

One seed gives one tokenizer, and one set of weights on the same kind of CPU with the same library
versions. Another kind of CPU gives their like, not their bytes.

Pieces that the training text never holds (351 of 2048 in the shipped model) would all end with one
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
JSON with category, priority and reason, records that say how soon somebody must act, the intent
labels measured below, a house style that the conversation itself does not spell out, and every
document that holds a sentence, or eight words in a row, of a gold row of the examples. What is in
it: the same everyday matters in other sentences, and choosing a word for the haste of a message
from a list in the question.

Measured with LoRA on two shared cores (rank 16, alpha 32, all linear layers, batch 16, 200 rows;
exact answers on 60 to 80 rows; with the wordings of training a few percent of the texts repeat):

| task | learning rate, epochs | before | after | training |
|---|---|---|---|---|
| ten intents, the wordings of the training rows | 2e-3, 6 | 0.00 | 1.00 | 8 s |
| ten intents, other wordings | 2e-3, 6 | 0.00 | 0.79 | 6 s |
| house style (150 rows), the wordings of the training rows | 2e-3, 6 | 0.00 | 0.97 | 8 s |
| tickets as JSON, the wordings of the training rows | 3e-3, 8 | 0.00 | 1.00 | 22 s |
| tickets as JSON, other wordings | 4e-3, 6 | 0.00 | 0.69 | 20 s |
"""


def render_card(*, steps: int, tokens: int, minutes: float, answer_loss: float, seed: int) -> str:
    """The card as Markdown, with the facts of the training run."""
    return _CARD.format(
        steps=steps, tokens=tokens, minutes=minutes, answer_loss=answer_loss, seed=seed
    )

"""Plans, events, findings and reports as text, JSON and Markdown.

One file a format; words, marks and number formats stand here once. Renderers return text or write
to a stream that they are handed. Never: decisions, click, the engine.
"""

"""A file of a dataset on Kaggle, as `kaggle:OWNER/NAME:FILE`."""

from brewslm.rows.source import Remote, Source

SOURCE = Source("kaggle", remote=Remote("https://www.kaggle.com"))

"""LangChain's cache of answers, in a file or in Redis.

| | |
| --- | --- |
| the key | a hash of the prompt and of all settings of the model: slug, temperature, address, limits; neither the API key nor the prompt itself is kept |
| what is kept | whole answers, by `invoke`, `batch` and `stream` alike, with what they say of themselves |
| what is not | failures, refused answers, answers that were cut off, streams that were left |
| what a hit costs | nothing: `cost` is 0, `attempts` is empty, `is_cached` is true |

A cache never fails a call: where it cannot be read or written, the model is asked. What children's
stories hold, names included, lies in the cache as in the story; `clear` removes it.
"""  # noqa: E501 (a table)

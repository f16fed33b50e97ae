"""Everything that calls a model service: endpoints, failures, writing, moderation, tuning, tokens, prices.

Nothing here imports the SDK or the tokenizer before its first use: the bot must be up before it needs either.
"""

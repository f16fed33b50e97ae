"""The stages of the work, in its order: download, examples, moderate, finetune, generate, publish.

Each is a plain async generator that takes what it needs by argument, yields `Progress`, and commits its own work in
small transactions, so that a killed process goes on where it stopped.
"""

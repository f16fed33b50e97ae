"""The kinds of voice, one small module each, and the register of those that exist."""

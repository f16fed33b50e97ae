"""The application: everything but Discord's face."""

__version__ = "0.1.0"

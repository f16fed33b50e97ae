"""Discord's face: one thin file for each stage. Permission, parse, hand over, render."""

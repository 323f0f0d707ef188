"""One module per language: its words and the forms that its realiser needs."""

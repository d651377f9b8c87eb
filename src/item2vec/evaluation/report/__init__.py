"""The report: figures as JSON, for the eye one self-contained page."""

"""An observer for the tests."""


class Silent:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.steps, self.epochs, self.notes, self.warnings = [], [], [], []

    def on_note(self, text):
        self.notes.append(text)

    def on_warning(self, text):
        self.warnings.append(text)

    def on_step(self, report):
        self.steps.append(report)

    def on_epoch(self, report):
        self.epochs.append(report)

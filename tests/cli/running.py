"""What the tests of the command line share."""

import json

TRAIN = ("train", "--dataset", "digits", "-b", "32", "--max-steps", "3", "--device",
         "cpu", "--set", "train.calibration_images=64")  # fmt: skip


class Result:
    """What a run of the command line gave."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def message(self):
        """The one line of an error."""
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]

"""The process `batcher`: what it was given at birth is put right before anything else is loaded."""

import sys

from batcher.cli.signals import heed
from batcher.cli.streams import mend_streams
from batcher.descriptors import raise_soft_limit


def start() -> int:
    """Run the command of this process; its exit code."""
    heed()
    mend_streams()
    raise_soft_limit()
    from batcher.cli.main import main  # late: loading it takes a tenth of a second, in which a signal may come

    return main()


if __name__ == "__main__":
    sys.exit(start())

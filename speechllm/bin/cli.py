"""How every command ends: a UserError becomes one line on stderr and exit status 1."""

import sys

from speechllm.errors import UserError


def run(main):
    """Call ``main()``; anything but a UserError keeps its traceback."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

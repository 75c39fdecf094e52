"""How often is what is drawn or killed at random tried?  `make test` has fifteen minutes, `make soak` has not."""

import os

#: Set by `make soak`.
IS_THOROUGH = os.environ.get("GATEHOUSE_THOROUGH") == "1"

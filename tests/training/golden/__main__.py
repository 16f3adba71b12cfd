from __future__ import annotations

from tests.training.golden import main

main()

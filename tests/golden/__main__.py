from __future__ import annotations

from tests.golden import main

main()

"""`python -m app` is `recharge`."""

from app.main import main

main()

"""The measures. Each module names the setups that it compares, and runs one of them."""

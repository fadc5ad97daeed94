"""The wfb command line."""

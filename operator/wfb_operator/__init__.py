"""The control plane: ledger, controller, injector and command line."""

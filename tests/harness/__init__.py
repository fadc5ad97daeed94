"""What tests share: certificates and programs to start."""

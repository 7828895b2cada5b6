"""What may spoil a release without standing in its way."""

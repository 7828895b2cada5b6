"""The wire: models of our custom resources and the rules of admission."""

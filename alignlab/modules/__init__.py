"""LightningModules that methods subclass: one for each kind of supervision. No objective lives here."""

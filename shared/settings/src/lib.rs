//! The settings file: TOML to raw to validated.

//! What a finished recording says about itself.

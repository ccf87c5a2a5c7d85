//! The integration suite: one binary, a folder per service.

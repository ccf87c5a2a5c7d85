//! The integration suite: one binary, a folder per service.
//!
//! `architecture` needs nothing; everything else uses `harness`, which boots one throwaway PostgreSQL for the whole
//! run and starts the real executable. `scripts/test` is the way to run all of it.

mod architecture;

//! `goforward serve` as a process: its first start, its end, its data directory, its refusals.

mod embedded;
mod stopping;
mod unix_socket;

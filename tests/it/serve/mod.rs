//! `goforward serve` as a process: its first start, its end, its data directory, its refusals, its log.

mod embedded;
mod full_log;
mod stopping;

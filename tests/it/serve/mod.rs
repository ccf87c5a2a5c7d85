//! `goforward serve` as a process: its first start, its end, its data directory, its refusals.

mod command_line;
mod embedded;
mod logs;
mod stopping;
mod unix_socket;

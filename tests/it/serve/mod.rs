//! `goforward serve` as a process: its first start, its end, its data directory, its refusals, its log.

mod command_line;
mod embedded;
mod full_log;
mod logs;
mod stopping;
mod unix_socket;

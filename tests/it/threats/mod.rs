//! Attacks from outside, against the real executable: what must not work, and what must be left behind when it is tried.

mod access_matrix;
mod exhaustion;
mod http2_abuse;
mod injection;
mod scope_isolation;
mod secrets;
mod tokens;
mod wire_abuse;

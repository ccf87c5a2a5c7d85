//! Several nodes: `model` without any I/O, `hubs` with everything but sockets.

mod hubs;
mod model;
mod replica;

//! As much of an HTTP/1.1 client as a load needs: answers must be 200 and tell their length.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::{Outcome, STEP};

/// A request, its head written out.
pub struct Request {
    head: String,
    /// How many bytes of a body follow.
    body: u64,
}

impl Request {
    pub fn get(path: &str, token: Option<&str>) -> Self {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        Self { head: format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n"), body: 0 }
    }

    pub fn post(path: &str, token: &str, body: u64) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {body}\r\n\r\n"
        );
        Self { head, body }
    }
}

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0x5a; STEP] })
    }

    /// Sends a request with its body.
    pub fn send(&mut self, request: &Request) -> Outcome<()> {
        let first = request.body.min(STEP as u64) as usize;
        let mut start = request.head.clone().into_bytes();
        start.resize(start.len() + first, 0x5a);
        self.stream.write_all(&start)?;
        let (piece, mut left) = (vec![0x5a; STEP], request.body - first as u64);
        while left > 0 {
            let now = left.min(STEP as u64) as usize;
            self.stream.write_all(&piece[..now])?;
            left -= now as u64;
        }
        self.answer(|_| ()).map(drop)
    }

    /// Sends a request without a body and tells how long the answer's is, and of every piece as it comes.
    pub fn ask(&mut self, request: &Request, came: impl FnMut(u64)) -> Outcome<u64> {
        self.stream.write_all(request.head.as_bytes())?;
        self.answer(came)
    }

    fn answer(&mut self, mut came: impl FnMut(u64)) -> Outcome<u64> {
        let mut filled = 0;
        let behind = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            filled += read;
            if let Some(end) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..behind])?.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(String::from_utf8_lossy(&self.buffer[..filled]).into());
        }
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
        let length: u64 = length.ok_or("the answer does not tell its length")?.trim().parse()?;
        let mut left = length - (filled - behind) as u64;
        came((filled - behind) as u64);
        while left > 0 {
            let most = left.min(STEP as u64) as usize;
            let read = self.stream.read(&mut self.buffer[..most])? as u64;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            left -= read;
            came(read);
        }
        Ok(length)
    }
}

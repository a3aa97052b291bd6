//! A server on loopback that answers as a test says, byte for byte: it can cut, lie and stall.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use zoo_assets::{Options, Progress};

/// What was asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// First byte of an open range.
    pub fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    promised: Option<usize>,
    sent: Option<usize>,
    stall: Duration,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), body, promised: None, sent: None, stall: Duration::ZERO }
    }

    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::new(status, "").with("Location", to)
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends only so many bytes and closes the connection.
    pub fn cut(mut self, sent: usize) -> Self {
        self.sent = Some(sent);
        self
    }

    /// Sends at most so many bytes.
    pub fn cut_at_most(self, sent: usize) -> Self {
        let sent = sent.min(self.body.len());
        self.cut(sent)
    }

    /// Says another length than the body has.
    pub fn promising(mut self, length: usize) -> Self {
        self.promised = Some(length);
        self
    }

    /// Is silent after the head for so long.
    pub fn stalling(mut self, time: Duration) -> Self {
        self.stall = time;
        self
    }
}

/// A file with an entity tag, whole or from where the range says.
pub fn file(asked: &Asked, content: &[u8], tag: &str) -> Answer {
    let same = asked.header("if-range").is_none_or(|wanted| wanted == tag);
    match asked.range().filter(|_| same) {
        Some(start) if start >= content.len() => Answer::new(416, "").with("ETag", tag),
        Some(start) => Answer::new(206, &content[start..])
            .with("ETag", tag)
            .with("Content-Range", format!("bytes {start}-{}/{}", content.len() - 1, content.len())),
        None => Answer::new(200, content).with("ETag", tag),
    }
}

pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// The number of the request counts from 0. Runs to the end of the test's process.
    pub fn new(answer: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = asked.clone();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (record, answer) = (record.clone(), answer.clone());
                thread::spawn(move || serve(&stream.unwrap(), &record, answer.as_ref()));
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

fn serve(stream: &TcpStream, record: &Mutex<Vec<Asked>>, answer: &dyn Fn(usize, &Asked) -> Answer) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut asked = Asked::default();
    if reader.read_line(&mut line).is_err() || line.is_empty() {
        return;
    }
    asked.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        asked.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let number = {
        let mut record = record.lock().unwrap();
        record.push(asked.clone());
        record.len() - 1
    };
    let answer = answer(number, &asked);
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", answer.status);
    head.push_str(&format!("Content-Length: {}\r\n", answer.promised.unwrap_or(answer.body.len())));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut writer = stream;
    let _ = writer.write_all(head.as_bytes());
    let _ = writer.write_all(b"\r\n");
    thread::sleep(answer.stall);
    let _ = writer.write_all(&answer.body[..answer.sent.unwrap_or(answer.body.len())]);
}

/// Quick to give up, and with nothing of the machine's environment.
pub fn options(cache: &std::path::Path) -> Options {
    let mut options = Options::new(cache);
    options.attempts = 3;
    options.pause = Duration::from_millis(1);
    options.silence = Duration::from_secs(5);
    options
}

/// Bytes that differ everywhere.
pub fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Keeps what is told.
#[derive(Default)]
pub struct Told(pub Mutex<Vec<String>>);

impl Told {
    fn tell(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Told {
    fn started(&self, _: &str, done: u64, total: Option<u64>) {
        self.tell(format!("started {done} of {total:?}"));
    }
    fn retrying(&self, _: &str, reason: &str) {
        self.tell(format!("retrying {reason}"));
    }
    fn waiting(&self, _: &str) {
        self.tell("waiting".to_owned());
    }
    fn finished(&self, _: &str, bytes: u64) {
        self.tell(format!("finished {bytes}"));
    }
}

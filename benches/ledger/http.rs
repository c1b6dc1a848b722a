//! A load generator that leaves the processors to the server: keep-alive connections, requests written in one piece,
//! answers read no further than their length and status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

/// Where requests go and who sends them.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub token: String,
}

/// One request; `body` is JSON.
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: String,
}

impl Call {
    /// A request without a body.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            body: String::new(),
        }
    }
}

/// What a load came to.
#[derive(Default)]
pub struct Outcome {
    /// Answers as wanted, per second.
    pub rate: f64,
    /// Of those answers, sorted.
    pub latencies: Vec<Duration>,
    /// First `"id"` of each answer, when asked for.
    pub ids: Vec<i64>,
    /// Other answers, and the first of them.
    pub refused: usize,
    pub first_refusal: Option<String>,
}

impl Outcome {
    /// The median in milliseconds.
    pub fn p50(&self) -> Result<f64> {
        let middle = self.latencies.get(self.latencies.len() / 2);
        Ok(middle.context("no answer")?.as_secs_f64() * 1e3)
    }

    /// What one answer in a hundred takes longer than, in milliseconds.
    pub fn p99(&self) -> Result<f64> {
        let place = self.latencies.get(self.latencies.len() * 99 / 100);
        Ok(place.context("no answer")?.as_secs_f64() * 1e3)
    }

    /// Fails when any answer was not as wanted.
    pub fn whole(self) -> Result<Self> {
        match &self.first_refusal {
            Some(first) => bail!("{} requests refused, the first: {first}", self.refused),
            None => Ok(self),
        }
    }
}

/// How much load and which answers are right.
#[derive(Clone, Copy)]
pub struct Load {
    pub clients: usize,
    pub time: Duration,
    pub wanted: u16,
    pub keep_ids: bool,
}

/// Has `clients` connections send what `request` makes from the client's number and turn, one after the other,
/// until the time is over or `request` has no more.
pub async fn run<R>(target: &Target, load: Load, request: R) -> Result<Outcome>
where
    R: Fn(usize, usize) -> Option<Call> + Send + Sync + 'static,
{
    let request = Arc::new(request);
    let start = Arc::new(Barrier::new(load.clients));
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..load.clients {
        let mut connection = Connection::open(target).await?;
        let (request, start) = (Arc::clone(&request), Arc::clone(&start));
        tasks.spawn(async move {
            let mut own = Outcome::default();
            start.wait().await;
            let began = Instant::now();
            for turn in 0.. {
                let Some(call) = request(client, turn) else {
                    break;
                };
                let sent = Instant::now();
                if sent - began >= load.time {
                    break;
                }
                let status = connection.send(&call).await?;
                if status == load.wanted {
                    own.latencies.push(sent.elapsed());
                    if load.keep_ids {
                        own.ids.extend(first_id(connection.body()));
                    }
                } else {
                    own.refused += 1;
                    own.first_refusal.get_or_insert_with(|| {
                        let text = String::from_utf8_lossy(connection.body());
                        format!("{} {}: {status} {text}", call.method, call.path)
                    });
                }
            }
            anyhow::Ok((own, began.elapsed()))
        });
    }
    let mut all = Outcome::default();
    let mut longest = Duration::ZERO;
    while let Some(task) = tasks.join_next().await {
        let (own, took) = task.context("a client ended")??;
        longest = longest.max(took);
        all.latencies.extend(own.latencies);
        all.ids.extend(own.ids);
        all.refused += own.refused;
        all.first_refusal = all.first_refusal.or(own.first_refusal);
    }
    all.latencies.sort_unstable();
    let answers = u32::try_from(all.latencies.len())?;
    all.rate = f64::from(answers) / longest.as_secs_f64();
    Ok(all)
}

/// A keep-alive connection with its buffers.
pub struct Connection {
    stream: TcpStream,
    /// What every request says after its first line.
    headers: String,
    out: Vec<u8>,
    answer: Vec<u8>,
    body_at: usize,
}

impl Connection {
    /// Connects.
    pub async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let mut headers = format!("host: {}\r\n", target.address);
        if !target.token.is_empty() {
            headers = format!("{headers}authorization: {}\r\n", target.token);
        }
        Ok(Self {
            stream,
            headers,
            out: Vec::with_capacity(1024),
            answer: Vec::with_capacity(16 * 1024),
            body_at: 0,
        })
    }

    /// Sends a request and waits for the whole answer, of which it tells the status.
    pub async fn send(&mut self, call: &Call) -> Result<u16> {
        use std::io::Write as _;
        self.out.clear();
        write!(
            self.out,
            "{} {} HTTP/1.1\r\n{}",
            call.method, call.path, self.headers
        )?;
        if call.body.is_empty() {
            self.out.extend_from_slice(b"\r\n");
        } else {
            let length = call.body.len();
            write!(
                self.out,
                "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{}",
                call.body
            )?;
        }
        self.stream.write_all(&self.out).await?;
        self.read_answer().await
    }

    /// The last answer's body.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.body_at..]
    }

    /// The last answer's body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(self.body())
            .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(self.body())))
    }

    async fn read_answer(&mut self) -> Result<u16> {
        self.answer.clear();
        let head_end = loop {
            let seen = self.answer.len().saturating_sub(3);
            self.read_some().await?;
            if let Some(at) = find(&self.answer[seen..], b"\r\n\r\n") {
                break seen + at;
            }
        };
        let head = std::str::from_utf8(&self.answer[..head_end]).context("a header is not text")?;
        let status = head
            .get(9..12)
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("not HTTP/1.1: {head}"))?;
        let length: usize = header(head, "content-length")
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("an answer without length: {head}"))?;
        self.body_at = head_end + 4;
        while self.answer.len() < self.body_at + length {
            self.read_some().await?;
        }
        Ok(status)
    }

    async fn read_some(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.answer).await? {
            0 => bail!("the server closed the connection"),
            _ => Ok(()),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn first_id(body: &[u8]) -> Option<i64> {
    const KEY: &[u8] = b"\"id\":";
    let rest = &body[find(body, KEY)? + KEY.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

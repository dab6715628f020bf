//! HTTP/1.1 by hand, on loopback: a server that can answer wrongly in every way that a real one
//! may, with bodies cut, unsized or lost. It exists beside [`fault_proxy`](crate::fault_proxy),
//! which puts faults between real servers and their clients, since no HTTP library sends what it
//! sends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its query, as it came.
    pub query: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, as far as it was read.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// An answer to be sent.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, but for the length.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Waited before it is sent.
    pub delay: Duration,
    /// Opened before it is sent.
    pub gate: Option<Gate>,
    /// Whether its length is told; otherwise it ends where the connection does.
    pub sized: bool,
    /// The bytes of its body after which the connection breaks.
    pub cut: Option<usize>,
    /// Whether nothing is sent at all, and the connection broken.
    pub lost: bool,
}

impl Reply {
    /// An answer in JSON.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            delay: Duration::ZERO,
            gate: None,
            sized: true,
            cut: None,
            lost: false,
        }
    }
}

/// Holds an answer back until a test opens it.
#[derive(Debug, Clone)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { arrived: Arc::new(Semaphore::new(0)), opened: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// Waits until an answer stands at the gate.
    pub async fn arrived(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    /// Lets one answer through.
    pub fn open(&self) {
        self.opened.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.opened.acquire().await.unwrap().forget();
    }
}

/// What answers.
pub trait Handler: Send + Sync + 'static {
    /// How many bytes of the body are read before the connection is broken; `None` to read it all
    /// and answer.
    fn break_after(&self, head: &Request) -> Option<usize>;
    /// The answer to a request that was read whole.
    fn answer(&self, request: Request) -> Reply;
    /// A request whose body was not read whole.
    fn broken(&self, _request: Request) {}
}

/// A server, up until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Its base URL.
    pub url: String,
    accept: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Serves on a free port of loopback.
pub async fn serve(make: impl FnOnce(&str) -> Arc<dyn Handler>) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = make(&url);
    let accept = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = Arc::clone(&handler);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while matches!(converse(&mut stream, &*handler).await, Ok(true)) {}
            });
        }
    });
    Server { url, accept }
}

/// One request and its answer; whether another may follow on the connection.
async fn converse(
    stream: &mut BufReader<TcpStream>,
    handler: &dyn Handler,
) -> std::io::Result<bool> {
    let Some(mut request) = read_head(stream).await? else { return Ok(false) };
    let most = handler.break_after(&request);
    let whole = match request.header("content-length").map(|n| n.parse::<usize>().unwrap()) {
        Some(length) => {
            let mut body = vec![0; length.min(most.unwrap_or(length))];
            // A client that goes away midway leaves a body short of its length: it was not read
            // whole.
            let read = stream.read_exact(&mut body).await;
            request.body = body;
            read.is_ok() && most.is_none()
        }
        None if request.header("transfer-encoding").is_some() => {
            request.body = read_chunks(stream).await?;
            most.is_none()
        }
        None => most.is_none(),
    };
    if !whole {
        handler.broken(request);
        return Ok(false);
    }
    let reply = handler.answer(request);
    tokio::time::sleep(reply.delay).await;
    if let Some(gate) = &reply.gate {
        gate.pass().await;
    }
    if reply.lost {
        return Ok(false);
    }
    let mut head = format!("HTTP/1.1 {} FakeBatchApi\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&if reply.sized {
        format!("content-length: {}\r\n\r\n", reply.body.len())
    } else {
        "connection: close\r\n\r\n".to_owned()
    });
    stream.write_all(head.as_bytes()).await?;
    let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    stream.write_all(&reply.body[..sent]).await?;
    stream.flush().await?;
    Ok(reply.sized && reply.cut.is_none())
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    request.method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (request.path, request.query) = (path.to_owned(), query.to_owned());
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(request))
}

async fn read_chunks(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk).await?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

/// A failed test elsewhere leaves these values whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

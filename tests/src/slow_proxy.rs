//! A proxy that is as far away as S3: each connection has a rate of its own, waits before the first
//! byte of an answer, and may break. It passes bytes on and reads none, so that signatures hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How slow the way is, for each connection.
#[derive(Debug, Clone, Copy)]
pub struct Slowness {
    /// Bytes of answers per second.
    pub rate: u64,
    /// Before the first byte of each answer.
    pub first_byte: Duration,
    /// The connection breaks after so many bytes of answers.
    pub breaks_after: Option<u64>,
}

/// The running proxy, until it is dropped.
#[derive(Debug)]
pub struct SlowProxy {
    pub url: String,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl SlowProxy {
    /// Starts it before the server at `url`.
    pub async fn start(url: &str, slowness: Slowness) -> Self {
        let server = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                passing.spawn(pass(client, server.clone(), slowness));
            }
        });
        SlowProxy { url, connections, _task: task }
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Passes a connection on, until either side ends it.
async fn pass(client: TcpStream, server: String, slowness: Slowness) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let asked = AtomicBool::new(false);
    let questions = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            asked.store(true, Ordering::Relaxed);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        let (mut buffer, mut sent, mut next) = (vec![0; 64 * 1024], 0, Instant::now());
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if asked.swap(false, Ordering::Relaxed) {
                sleep(slowness.first_byte).await;
                next = Instant::now();
            }
            sent += read as u64;
            if slowness.breaks_after.is_some_and(|most| sent > most)
                || to_client.write_all(&buffer[..read]).await.is_err()
            {
                return;
            }
            next += Duration::from_secs_f64(read as f64 / slowness.rate as f64);
            sleep_until(next).await;
        }
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}

//! A reverse proxy before the servers: everything a function sends passes through it and is
//! counted, and one request meets a fault. It exists beside [`raw_http`](crate::raw_http) since it
//! has real servers behind it, and so needs a whole HTTP client and server; `raw_http` is a server
//! that answers what no sound implementation of HTTP would.
//!
//! It keeps the `Host` header, so that signatures hold, and puts its own URL into the Batch API's
//! signed URLs, so that uploads and downloads pass through it as well.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use moondrop_local::aws::Endpoints;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is lost on its way.
    LoseRequest,
    /// It takes effect, and its answer is lost.
    LoseAnswer,
    /// Its sender dies before it takes effect.
    DieBefore,
    /// It takes effect, and its sender dies.
    DieAfter,
    /// It is answered 503 without effect.
    Unavailable,
    /// It is answered 429 without effect.
    Busy,
    /// It is answered 429 without effect, with a `Retry-After`.
    BusyFor,
    /// It takes effect, and its answer's body is cut midway.
    CutBody,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 8] = [
        Fault::LoseRequest,
        Fault::LoseAnswer,
        Fault::DieBefore,
        Fault::DieAfter,
        Fault::Unavailable,
        Fault::Busy,
        Fault::BusyFor,
        Fault::CutBody,
    ];
}

/// How many requests there were at all the proxies of a test, and which of them meet which fault.
#[derive(Debug, Default)]
pub struct Plan {
    count: AtomicU64,
    faults: Mutex<Vec<(u64, Fault)>>,
    steps: Mutex<Vec<String>>,
    met: Mutex<Vec<(String, Fault)>>,
}

impl Plan {
    /// Begins again: the requests at these numbers, counted from 1, will meet these faults.
    pub fn arm(&self, faults: &[(u64, Fault)]) {
        *self.faults.lock().unwrap() = faults.to_vec();
        self.steps.lock().unwrap().clear();
        self.met.lock().unwrap().clear();
        self.count.store(0, Ordering::SeqCst);
    }

    /// How many requests there were since.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// What was sent since: a line a request, with the fault it met.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        self.steps.lock().unwrap().clone()
    }

    /// The faults that were met since, each with the step it was met at: the function, and what it
    /// asked for.
    #[must_use]
    pub fn met(&self) -> Vec<(String, Fault)> {
        self.met.lock().unwrap().clone()
    }

    /// Writes among the steps what is about to be done.
    pub fn note(&self, what: String) {
        self.steps.lock().unwrap().push(what);
    }

    fn take(&self, who: &str, request: &Request<Incoming>) -> Option<Fault> {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let faults = self.faults.lock().unwrap();
        let fault = faults.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault);
        let target =
            request.headers().get("x-amz-target").and_then(|t| t.to_str().ok()).unwrap_or_default();
        let path = request.uri().path();
        let met = fault.map(|fault| format!(" <- {fault:?}")).unwrap_or_default();
        if let Some(fault) = fault {
            self.met
                .lock()
                .unwrap()
                .push((step(who, request.method().as_str(), path, target), fault));
        }
        self.steps
            .lock()
            .unwrap()
            .push(format!("{number} {who} {} {path} {target}{met}", request.method()));
        fault
    }
}

/// A request in words that are the same for every drop.
fn step(who: &str, method: &str, path: &str, target: &str) -> String {
    let function = who.split(' ').next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    match (who.rsplit(' ').next().unwrap_or_default(), path) {
        ("dynamodb" | "events", _) => {
            format!("{function}: {}", target.rsplit('.').next().unwrap_or_default())
        }
        ("s3", "/results" | "/results/") => format!("{function}: list the work files"),
        ("s3", path) if path.starts_with("/drops/") => format!("{function}: {method} the source"),
        ("s3", path) if path.starts_with("/results/work/") => {
            format!("{function}: {method} a work file")
        }
        ("s3", _) => format!("{function}: {method} {file}"),
        (_, path) if path.starts_with("/upload/") => "submit: PUT to the pre-signed URL".to_owned(),
        (_, path) if path.starts_with("/download/") => {
            "collect: GET from the pre-signed URL".to_owned()
        }
        (_, path) if path.ends_with("/cancel") => format!("{function}: {method} a job's cancel"),
        _ => format!("{function}: {method} {path}"),
    }
}

/// The servers that a process reaches.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub aws: Endpoints,
    /// The Batch API.
    pub api: String,
}

/// What all the proxies of a test share.
#[derive(Debug)]
pub struct Shared {
    pub upstream: Upstream,
    pub plan: Arc<Plan>,
    /// Changes when all processes die.
    pub all_die: watch::Sender<u64>,
}

/// What one process reaches the servers by, and the way it dies.
#[derive(Debug)]
pub struct FaultProxy {
    /// The servers, behind the proxy.
    pub addresses: Upstream,
    /// Changes when this process dies.
    own: watch::Sender<u64>,
    /// Changes when all processes die.
    all: watch::Sender<u64>,
    _servers: JoinSet<()>,
}

impl FaultProxy {
    /// For the storage behind the Batch API's pre-signed URLs, which outlives the processes. It
    /// does not know who sends a request: one that its sender does not survive ends all of them.
    pub async fn of_storage(shared: &Shared) -> Self {
        Self::start("storage", shared, None).await
    }

    /// For the process called `who`. A request that its sender does not survive ends that process.
    /// Pre-signed URLs point to the storage's proxy.
    pub async fn of_process(who: &str, shared: &Shared, storage: &FaultProxy) -> Self {
        Self::start(who, shared, Some(&storage.addresses.api)).await
    }

    async fn start(who: &str, shared: &Shared, storage: Option<&str>) -> Self {
        let own = if storage.is_some() { watch::Sender::new(0) } else { shared.all_die.clone() };
        let mut servers = JoinSet::new();
        let mut addresses = Vec::new();
        let Upstream { aws, api } = &shared.upstream;
        for (name, upstream) in
            [("s3", &aws.s3), ("dynamodb", &aws.dynamodb), ("events", &aws.events), ("api", api)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            let proxy = Proxy {
                who: format!("{who} {name}"),
                storage: storage.unwrap_or(&address).to_owned(),
                upstream: upstream.trim_end_matches('/').to_owned(),
                client: Client::builder(TokioExecutor::new()).build_http(),
                plan: Arc::clone(&shared.plan),
                dead: own.clone(),
            };
            servers.spawn(serve(listener, Arc::new(proxy)));
            addresses.push(address);
        }
        let [s3, dynamodb, events, api] = addresses.try_into().unwrap();
        // One server has the events and the secrets.
        let aws = Endpoints { s3, dynamodb, secrets_manager: events.clone(), events };
        FaultProxy {
            addresses: Upstream { aws, api },
            own,
            all: shared.all_die.clone(),
            _servers: servers,
        }
    }

    /// Runs what a process does, until it ends or the process dies: then nothing more of it is
    /// done.
    pub async fn alive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut own, mut all) = (self.own.subscribe(), self.all.subscribe());
        tokio::select! {
            biased;
            _ = own.changed() => None,
            _ = all.changed() => None,
            done = work => Some(done),
        }
    }
}

struct Proxy {
    who: String,
    storage: String,
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    plan: Arc<Plan>,
    dead: watch::Sender<u64>,
}

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let proxy = Arc::clone(&proxy);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let proxy = Arc::clone(&proxy);
                async move { proxy.pass(request).await }
            });
            // An error is a connection that was broken on purpose.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Proxy {
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let broken = || Err(std::io::Error::other("broken on purpose"));
        let fault = self.plan.take(&self.who, &request);
        match fault {
            Some(Fault::LoseRequest) => return broken(),
            Some(Fault::DieBefore) => {
                self.dead.send_modify(|deaths| *deaths += 1);
                return broken();
            }
            Some(Fault::Unavailable) => return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, false)),
            Some(Fault::Busy) => return Ok(refusal(StatusCode::TOO_MANY_REQUESTS, false)),
            Some(Fault::BusyFor) => return Ok(refusal(StatusCode::TOO_MANY_REQUESTS, true)),
            None | Some(Fault::LoseAnswer | Fault::DieAfter | Fault::CutBody) => {}
        }
        let (head, body) = self.forward(request).await.map_err(std::io::Error::other)?;
        match fault {
            Some(Fault::LoseAnswer) => broken(),
            Some(Fault::DieAfter) => {
                self.dead.send_modify(|deaths| *deaths += 1);
                broken()
            }
            Some(Fault::CutBody) => Ok(cut(head, &body)),
            _ => Ok(Response::from_parts(head, whole(body))),
        }
    }

    /// Sends a request on and takes its answer whole.
    async fn forward(
        &self,
        request: Request<Incoming>,
    ) -> anyhow::Result<(hyper::http::response::Parts, Bytes)> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
        head.uri = format!("{}{path}", self.upstream).parse::<Uri>()?;
        if self.who.ends_with(" api") {
            // The sandbox signs no host, and its own is what it puts into URLs.
            head.headers.remove(HOST);
        }
        // A body sent in pieces goes on as it came: that is what the Batch API's storage refuses.
        let sent_whole = !head.headers.contains_key(TRANSFER_ENCODING);
        if sent_whole && !body.is_empty() {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let answer = self.client.request(Request::from_parts(head, Full::new(body))).await?;
        let (mut head, body) = answer.into_parts();
        let mut body = body.collect().await?.to_bytes();
        if self.who.ends_with(" api") {
            let text = String::from_utf8_lossy(&body);
            if text.contains(&self.upstream) {
                body = text.replace(&self.upstream, &self.storage).into();
            }
        }
        if head.headers.contains_key(CONTENT_LENGTH) && !body.is_empty() {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        Ok((head, body))
    }
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

fn refusal(status: StatusCode, for_a_time: bool) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    if for_a_time {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

/// Half of the body, and then the connection breaks.
fn cut(mut head: hyper::http::response::Parts, body: &Bytes) -> Response<Body> {
    head.headers.insert(CONTENT_LENGTH, body.len().max(1).into());
    let half = body.slice(..body.len() / 2);
    let pieces = [Ok(Frame::data(half)), Err(std::io::Error::other("cut on purpose"))];
    Response::from_parts(head, BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces))))
}

//! Sending one request until there is an answer to it: signed anew for each try, with pauses between.

use std::error::Error;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Response, Url};
use rustls::{ClientConfig, RootCertStore};

use crate::address::{Address, is_region};
use crate::answer::{Asked, Refusal, refusal};
use crate::credentials::Credentials;
use crate::error::BucketError;
use crate::guard::{Forbidden, Resolver};
use crate::settings::{Patience, Settings};
use crate::signing::signed;
use crate::slots::Memory;

/// What is read of an answer that is no success.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;
/// A bucket is in one region; a service that names a third one does not know.
const REGIONS_MAX: u32 = 2;

/// One bucket's service.
pub(crate) struct Sender {
    client: Client,
    address: Address,
    credentials: Credentials,
    patience: Patience,
    given_region: Option<String>,
    region: Mutex<String>,
}

/// What is asked for.
pub(crate) struct Ask<'a> {
    pub asked: Asked,
    pub method: &'static str,
    /// Empty for the bucket.
    pub key: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    pub headers: &'a [(&'static str, String)],
    /// The most that the body may have, bytes.
    pub body_max: u64,
    /// Exactly so many, if that is known.
    pub body: Option<u64>,
}

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sender {
    /// # Errors
    /// What can be known to be wrong before anything is sent.
    pub fn new(settings: Settings) -> Result<Self, BucketError> {
        let Settings { endpoint, bucket, region, style, credentials, guard, patience } = settings;
        let address = Address::new(endpoint.as_deref(), &bucket, style)?;
        if let Some(region) = region.as_deref().filter(|region| !is_region(region)) {
            return Err(BucketError::RegionName(region.to_owned()));
        }
        if !credentials.is_id_usable() {
            return Err(BucketError::AccessKeyId);
        }
        if !credentials.is_secret_usable() {
            return Err(BucketError::SecretAccessKey);
        }
        // The resolver is asked for names only.
        let refused = |literal: &IpAddr| !guard.allows(&literal.to_string(), *literal);
        if let Some(literal) = address.literal().filter(refused) {
            return Err(BucketError::EndpointForbidden(literal));
        }
        let first = region.clone().unwrap_or_else(|| address.first_region().to_owned());
        let is_https = address.url(&first, "", &[])?.scheme() == "https";
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Answers that wait for memory are on connections of their own: on a shared one they would hold up the others.
            .http1_only()
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            .dns_resolver(Arc::new(Resolver(Arc::new(guard))))
            .user_agent("workspacefs")
            .tls_backend_preconfigured(tls(is_https)?)
            .build()
            .map_err(|error| BucketError::Client(chain(&error)))?;
        Ok(Self { client, address, credentials, patience, given_region: region, region: Mutex::new(first) })
    }

    /// Sends until there is an answer.
    ///
    /// # Errors
    /// The last try's, or what no other try would change.
    pub async fn send(&self, ask: &Ask<'_>) -> Result<Answer, BucketError> {
        self.send_into(ask, &mut Memory::default()).await
    }

    /// The same, with the body in this memory if that is large enough.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_into(&self, ask: &Ask<'_>, memory: &mut Memory) -> Result<Answer, BucketError> {
        let (mut failures, mut regions) = (0, 0);
        loop {
            let region = self.region();
            let error = match self.send_once(ask, &region, memory).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Region(actual)) => {
                    regions += 1;
                    self.move_to(actual, regions)?;
                    continue;
                }
                Err(Refusal::Passing(error)) => error,
            };
            failures += 1;
            if failures >= self.patience.tries {
                return Err(error);
            }
            tracing::debug!(%error, failures, "a request is tried again");
            tokio::time::sleep(self.patience.pause_after(failures, luck())).await;
        }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    fn region(&self) -> String {
        self.region.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn move_to(&self, actual: String, regions: u32) -> Result<(), BucketError> {
        if let Some(given) = &self.given_region {
            return Err(BucketError::Region { given: given.clone(), actual });
        }
        if regions > REGIONS_MAX {
            return Err(BucketError::RegionName(actual));
        }
        *self.region.lock().unwrap_or_else(PoisonError::into_inner) = actual;
        Ok(())
    }

    async fn send_once(&self, ask: &Ask<'_>, region: &str, memory: &mut Memory) -> Result<Answer, Refusal> {
        let url = self.address.url(region, ask.key, ask.query).map_err(Refusal::Final)?;
        let request = signed(ask.method, &url, ask.headers, region, &self.credentials, SystemTime::now());
        let request = request.map_err(Refusal::Final)?;
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Refusal::Final(BucketError::Client(chain(&error.without_url()))))?;
        let response = self.client.execute(request).await.map_err(|error| not_sent(error, &url))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            // What of it cannot be read says nothing.
            let body = body(response, REFUSAL_BYTES_MAX, &mut BytesMut::new()).await.unwrap_or_default();
            let about = (self.address.bucket(), region);
            let body = String::from_utf8_lossy(&body);
            return Err(refusal((status, &headers, &*body), ask.asked, about, &self.credentials));
        }
        // To HEAD there is none, though its length is told.
        let body = match ask.method {
            "HEAD" => Bytes::new(),
            _ => body(response, ask.body_max, memory.bytes().await.map_err(Refusal::Final)?).await?,
        };
        match ask.body {
            Some(expected) if (body.len() as u64) < expected => {
                let said = format!("{} of {expected} bytes came", body.len());
                Err(Refusal::Passing(BucketError::Cut(said)))
            }
            _ => Ok(Answer { status, headers, body }),
        }
    }
}

/// With the system's authorities; in an image that has none with Mozilla's, as they were when this was built.
fn tls(is_needed: bool) -> Result<ClientConfig, BucketError> {
    let mut roots = RootCertStore::empty();
    if is_needed {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| BucketError::Client(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn body(response: Response, max: u64, memory: &mut BytesMut) -> Result<Bytes, Refusal> {
    let cut = |error: reqwest::Error| Refusal::Passing(BucketError::Cut(chain(&error.without_url())));
    let too_long = || Refusal::Final(BucketError::Malformed(format!("it has more than {max} bytes")));
    let announced = response.content_length().unwrap_or(0);
    if announced > max && response.status().is_success() {
        return Err(too_long());
    }
    let mut response = response;
    memory.clear();
    memory.reserve(usize::try_from(announced.min(max)).unwrap_or(0));
    while let Some(bytes) = response.chunk().await.map_err(cut)? {
        if (memory.len() + bytes.len()) as u64 > max {
            return Err(too_long());
        }
        memory.extend_from_slice(&bytes);
    }
    Ok(std::mem::take(memory).freeze())
}

/// There is no answer.
fn not_sent(error: reqwest::Error, url: &Url) -> Refusal {
    let causes = || std::iter::successors(Some(&error as &(dyn Error + 'static)), |error| cause(*error));
    if let Some(Forbidden(address)) = causes().find_map(|error| error.downcast_ref::<Forbidden>()) {
        return Refusal::Final(BucketError::EndpointForbidden(*address));
    }
    let is_tls = causes().any(|error| error.is::<rustls::Error>());
    let port = url.port_or_known_default().unwrap_or_default();
    let host = format!("{}:{port}", url.host_str().unwrap_or_default());
    let why = if error.is_timeout() { "it took too long".to_owned() } else { chain(&error.without_url()) };
    let error = BucketError::Unreachable { host, why };
    // Who is not the one that he should be will not be him in a second.
    if is_tls { Refusal::Final(error) } else { Refusal::Passing(error) }
}

/// An I/O error has what it wraps beside its source.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

/// Between 0 and 1.
fn luck() -> f64 {
    let random = std::hash::RandomState::new().hash_one(0);
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

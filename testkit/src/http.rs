//! Requests and answers: what the API server's REST interface says, carried out on the [`State`].

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request as HttpRequest, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};

use crate::faults::{Fault, Moment, Verdict, outage_refuses, status_body};
use crate::merge;
use crate::path::Target;
use crate::requests::{Request, Verb};
use crate::scale;
use crate::selector::Selector;
use crate::server::{CLIENT_HEADER, Shared};
use crate::state::{Preconditions, State, key};
use crate::status::Refusal;
use crate::watch;

const BODY_MAX: usize = 3 << 20;

/// The parameters behind the `?`.
pub struct Query(HashMap<String, String>);

impl Query {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn selector(&self) -> Selector {
        Selector::parse(self.get("labelSelector"), self.get("fieldSelector"))
    }

    pub fn resource_version(&self) -> u64 {
        self.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    pub fn timeout_seconds(&self) -> Option<u64> {
        self.get("timeoutSeconds").and_then(|v| v.parse().ok())
    }

    pub fn bookmarks(&self) -> bool {
        self.get("allowWatchBookmarks") == Some("true")
    }
}

/// Answers every request.
pub async fn handle(Extract(shared): Extract<Arc<Shared>>, request: HttpRequest) -> Response {
    if outage_refuses(shared.outage()).await {
        return refuse(503, status_body(503));
    }
    let (parts, body) = request.into_parts();
    let Some(target) = Target::parse(parts.uri.path()) else {
        return refuse(404, Refusal::not_found(parts.uri.path()).to_json());
    };
    let query = match axum::extract::Query::try_from_uri(&parts.uri) {
        Ok(axum::extract::Query(map)) => Query(map),
        Err(error) => return refuse(400, Refusal::bad_request(error.to_string()).to_json()),
    };
    let Some(verb) = verb(&parts.method, &target, &query) else {
        return refuse(405, Refusal::bad_request("method not allowed").to_json());
    };
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return refuse(400, Refusal::bad_request("unreadable body").to_json());
    };
    let verdict = shared.record(describe(verb, &target, &parts.headers, &body));
    let before = matches!(verdict, Verdict::Strike(Moment::Before, _));
    let answer = if before {
        refuse(500, Value::Null)
    } else {
        answer(&shared, verb, target, &query, &parts.headers, &body)
    };
    match verdict {
        Verdict::Pass => answer,
        Verdict::Strike(_, Fault::Hold) => std::future::pending().await,
        Verdict::Strike(_, Fault::Status(code)) => refuse(code, status_body(code)),
        Verdict::Strike(_, Fault::Cut) => cut(),
    }
}

fn verb(method: &Method, target: &Target, query: &Query) -> Option<Verb> {
    let watching = matches!(query.get("watch"), Some("true" | "1"));
    Some(match (method.as_str(), target.name.is_some()) {
        ("GET", true) => Verb::Get,
        ("GET", false) if watching => Verb::Watch,
        ("GET", false) => Verb::List,
        ("POST", false) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        _ => return None,
    })
}

fn describe(verb: Verb, target: &Target, headers: &HeaderMap, body: &Bytes) -> Request {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let client = headers.get(CLIENT_HEADER).and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
    let mut name = text(&target.name);
    if verb == Verb::Create {
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        name = object["metadata"]["name"].as_str().unwrap_or("").to_string();
    }
    Request {
        client,
        verb,
        resource: target.resource.plural,
        namespace: text(&target.namespace),
        name,
        subresource: text(&target.subresource),
    }
}

fn answer(
    shared: &Arc<Shared>,
    verb: Verb,
    target: Target,
    query: &Query,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let metadata_only = accept.contains("as=PartialObjectMetadata");
    if verb == Verb::Watch {
        let body = watch::body(shared.clone(), target, query, metadata_only);
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let result = carry_out(shared, verb, &target, query, content_type, body);
    match result {
        Ok(Value::Object(list)) if verb == Verb::List => {
            let mut list = Value::Object(list);
            if metadata_only && let Some(items) = list["items"].as_array_mut() {
                items.iter_mut().for_each(|item| *item = metadata_of(item));
            }
            ok(&list)
        }
        Ok(object) if metadata_only => ok(&metadata_of(&object)),
        Ok(object) => ok(&object),
        Err(refusal) => refuse(refusal.code, refusal.to_json()),
    }
}

fn carry_out(
    shared: &Shared,
    verb: Verb,
    target: &Target,
    query: &Query,
    content_type: &str,
    body: &Bytes,
) -> Result<Value, Refusal> {
    if verb == Verb::Create
        && let Ok(review) = serde_json::from_slice(body)
        && let Some(reviewed) = shared.access().review(target.resource.plural, &review)
    {
        return Ok(reviewed);
    }
    let mut state = shared.state();
    let namespace = target.namespace.as_deref().unwrap_or("");
    let key = key(target.resource, namespace, target.name.as_deref().unwrap_or(""));
    let status = target.subresource.as_deref() == Some("status");
    let scale = target.subresource.as_deref() == Some("scale");
    let read = || -> Result<Value, Refusal> {
        serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("not JSON: {error}")))
    };
    let result = match verb {
        Verb::Get if scale => state.get(&key).map(|object| scale::of(&object)),
        Verb::Get => state.get(&key),
        Verb::List => Ok(list(&state, target, query)),
        Verb::Watch => Err(Refusal::bad_request("a watch has no single answer")),
        Verb::Create => state.create(target.resource, namespace, read()?),
        Verb::Update => state.replace(target.resource, &key, read()?, status),
        Verb::Patch if scale => scale::patch(&mut state, target, &key, &read()?),
        Verb::Patch => patch(&mut state, target, query, content_type, read()?),
        Verb::Delete => {
            let options: Value = serde_json::from_slice(body).unwrap_or_default();
            let text = |field: &str| options["preconditions"][field].as_str().map(String::from);
            let preconditions = Preconditions { uid: text("uid"), resource_version: text("resourceVersion") };
            state.delete(&key, &preconditions)
        }
    };
    let version = state.version;
    drop(state);
    shared.announce(version);
    result
}

fn patch(
    state: &mut State,
    target: &Target,
    query: &Query,
    content_type: &str,
    patch: Value,
) -> Result<Value, Refusal> {
    let namespace = target.namespace.as_deref().unwrap_or("");
    let name = target.name.as_deref().unwrap_or("");
    let key = key(target.resource, namespace, name);
    let subresource = target.subresource.clone().unwrap_or_default();
    let live = state.get(&key);
    let new = match content_type {
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            merge::merge_patch(&live?, &patch)
        }
        "application/json-patch+json" => merge::json_patch(&live?, patch)?,
        "application/apply-patch+yaml" => {
            let manager =
                query.get("fieldManager").ok_or_else(|| Refusal::bad_request("fieldManager is required"))?;
            if patch["kind"] != target.resource.kind || patch["apiVersion"] != target.resource.api_version() {
                return Err(Refusal::bad_request("apply needs apiVersion and kind"));
            }
            let applied = (key.clone(), manager.to_string(), subresource.clone());
            let before = state.applied.get(&applied).cloned().unwrap_or_default();
            let mut intent = patch;
            let version = intent["metadata"]["resourceVersion"].take();
            let made = match live {
                Err(_) if subresource.is_empty() => {
                    crate::state::put(&mut intent["metadata"], "resourceVersion", Value::Null);
                    intent["metadata"]["name"] = json!(name);
                    state.create(target.resource, namespace, intent.clone())?
                }
                live => {
                    let mut new = merge::apply(&live?, &before, &intent);
                    new["metadata"]["resourceVersion"] = version;
                    state.replace(target.resource, &key, new, subresource == "status")?
                }
            };
            state.applied.insert(applied, intent);
            return Ok(made);
        }
        other => return Err(Refusal::bad_request(format!("unknown kind of patch {other:?}"))),
    };
    state.replace(target.resource, &key, new, subresource == "status")
}

fn list(state: &State, target: &Target, query: &Query) -> Value {
    let selector = query.selector();
    let items: Vec<&Value> = state
        .objects
        .iter()
        .filter(|((resource, namespace, _), _)| {
            *resource == target.resource.plural && target.namespace.as_ref().is_none_or(|ns| ns == namespace)
        })
        .map(|(_, object)| object)
        .filter(|object| selector.matches(object))
        .collect();
    json!({
        "apiVersion": target.resource.api_version(),
        "kind": format!("{}List", target.resource.kind),
        "metadata": {"resourceVersion": state.version.to_string()},
        "items": items,
    })
}

/// What a client that asked for metadata only gets.
pub fn metadata_of(object: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
}

fn ok(object: &Value) -> Response {
    refuse(200, object.clone())
}

fn refuse(code: u16, body: Value) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, axum::Json(body)).into_response()
}

/// An answer that breaks off: the client sees its connection die.
fn cut() -> Response {
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("cut by the test"))]);
    Response::new(Body::from_stream(broken))
}

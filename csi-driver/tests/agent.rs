//! The client of the embedded server's agent, against a server that speaks its protocol: mutual TLS, renewed certificates,
//! deadlines, and whose words a caller hears.
#![allow(clippy::unwrap_used)]

#[path = "common/agent.rs"]
mod fake;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use csi_driver::controller::agent::{AgentError, TlsAgents};
use csi_driver::controller::seams::Agents;
use fake::{Authority, Running, write};
use tempfile::TempDir;
use tonic::Code;
use workspacefs_agent_proto::tls::{Credentials, SERVER_NAME};
use workspacefs_agent_proto::v1::GetClaimRequest;

fn agents(credentials: &Credentials) -> (TlsAgents, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), credentials);
    (TlsAgents::new(Some(folder.path().into())), folder)
}

fn get(name: &str) -> GetClaimRequest {
    GetClaimRequest { file_system_uid: "u".into(), name: name.into() }
}

#[tokio::test]
async fn a_caller_with_a_certificate_of_the_same_authority_is_answered() {
    let authority = Authority::new();
    let agent = Running::start(1, &authority.issue(SERVER_NAME)).await;
    let (agents, _folder) = agents(&authority.issue("client"));
    assert_eq!(agents.get_claim(&agent.host, get("a")).await.unwrap().size_bytes, 7);
    assert_eq!(agents.list_file_systems(&agent.host).await.unwrap()[0].bytes_left, 5);
    assert_eq!(agents.remove_claim(&agent.host, Default::default()).await.unwrap().kept_as, "trash/x");
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn the_agents_own_words_and_code_are_passed_on() {
    let authority = Authority::new();
    let agent = Running::start(2, &authority.issue(SERVER_NAME)).await;
    let (agents, _folder) = agents(&authority.issue("client"));
    for (name, expected, words) in [
        ("large", Code::ResourceExhausted, "9 bytes were asked for, 8 are left"),
        // Not the way to it: it is there and says so.
        ("away", Code::Unavailable, "the disk is not mounted yet"),
    ] {
        let error = agents.get_claim(&agent.host, get(name)).await.unwrap_err();
        assert_eq!(error.to_string(), words);
        assert!(matches!(error, AgentError::Refused { code, .. } if code == expected), "{error:?}");
    }
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn strangers_are_not_believed_on_either_side() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let agent = Running::start(3, &authority.issue(SERVER_NAME)).await;
    let (own, other) = (authority.issue("client"), stranger.issue("client"));
    for credentials in [
        // Signed by somebody else.
        Credentials { authority: own.authority.clone(), ..other.clone() },
        // Believes somebody else.
        Credentials { authority: other.authority.clone(), ..own.clone() },
    ] {
        let (agents, _folder) = agents(&credentials);
        let error = agents.get_claim(&agent.host, get("a")).await.unwrap_err();
        assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    }
    // Of the right authority, but not the agent.
    let impostor = Running::start(4, &authority.issue("somebody")).await;
    let (agents, _folder) = agents(&own);
    let error = agents.get_claim(&impostor.host, get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    assert_eq!(agent.fake.asked.load(Ordering::SeqCst) + impostor.fake.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn renewed_certificates_are_taken_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let agent = Running::start(5, &old.issue(SERVER_NAME)).await;
    let host = agent.host.clone();
    let (agents, folder) = agents(&old.issue("client"));
    agents.get_claim(&host, get("a")).await.unwrap();
    agent.stop().await;
    // The agent comes back with certificates of another authority.
    let agent = Running::start_at(host.clone(), &new.issue(SERVER_NAME)).await;
    let error = agents.get_claim(&host, get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    write(folder.path(), &new.issue("client"));
    agents.get_claim(&host, get("a")).await.unwrap();
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_is_reached_again() {
    let authority = Authority::new();
    let agent = Running::start(6, &authority.issue(SERVER_NAME)).await;
    let host = agent.host.clone();
    let (agents, _folder) = agents(&authority.issue("client"));
    agents.get_claim(&host, get("a")).await.unwrap();
    agent.stop().await;
    let error = agents.get_claim(&host, get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&host), "{error}");
    let agent = Running::start_at(host.clone(), &authority.issue(SERVER_NAME)).await;
    agents.get_claim(&host, get("a")).await.unwrap();
    drop(agents);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_that_does_not_answer_is_given_up_and_known_to_be_at_work() {
    let authority = Authority::new();
    let agent = Running::start(7, &authority.issue(SERVER_NAME)).await;
    let (agents, _folder) = agents(&authority.issue("client"));
    let started = Instant::now();
    let error = agents.get_claim(&agent.host, get("late")).await.unwrap_err();
    assert!(matches!(error, AgentError::Late { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(18), "{:?}", started.elapsed());
    // Others are not held up by it.
    let started = Instant::now();
    agents.get_claim(&agent.host, get("a")).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn without_credentials_it_is_said_which_are_missing() {
    let error = TlsAgents::new(None).get_claim("127.0.0.1", get("a")).await.unwrap_err();
    assert!(error.to_string().contains("--agent-tls"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let agents = TlsAgents::new(Some(folder.path().into()));
    let error = agents.get_claim("127.0.0.1", get("a")).await.unwrap_err();
    assert!(matches!(error, AgentError::Credentials { .. }), "{error:?}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    let broken = Credentials { authority: "x".into(), certificate: "y".into(), key: "z".into() };
    write(folder.path(), &broken);
    let error = agents.get_claim("127.0.0.1", get("a")).await.unwrap_err();
    let code =
        tonic::Status::from(csi_driver::controller::create_volume::CreateVolumeError::Agent(error)).code();
    assert_eq!(code, Code::Internal, "terminal");
}

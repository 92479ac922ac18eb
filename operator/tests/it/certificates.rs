//! The certificates that the operator makes, on a real connection.

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::transport::Server;
use workspacefs_agent_proto::tls::{Credentials, SERVER_NAME};
use workspacefs_agent_proto::v1::ListFileSystemsRequest;
use workspacefs_agent_proto::v1::agent_client::AgentClient;
use workspacefs_agent_proto::v1::agent_server::AgentServer;
use workspacefs_operator::server::certificates::{Pair, Usage, authority, leaf};

use crate::embedded::{FakeAgent, fresh_address};

const SERVER: Usage<'static> = Usage::Server(SERVER_NAME);
const CLIENT: Usage<'static> = Usage::Client("workspacefs-nfs-client");

fn years_ago(years: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() - years * 365 * 86_400).unwrap()
}

fn credentials(signer: &Pair, usage: Usage<'_>, bundle: &[&Pair]) -> Credentials {
    let pair = leaf(signer, usage, Timestamp::now()).unwrap();
    let authority = bundle.iter().map(|pair| pair.certificate.as_str()).collect();
    Credentials { authority, certificate: pair.certificate, key: pair.key }
}

/// A call with TLS on both sides.
async fn call(server: Credentials, client: Credentials) -> Result<(), Status> {
    let address = fresh_address();
    let listener = TcpListener::bind((address.as_str(), workspacefs_agent_proto::PORT)).await.unwrap();
    let agent = AgentServer::new(FakeAgent::default());
    let serving = Server::builder().tls_config(server.server()).unwrap().add_service(agent);
    let serving = tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = client.endpoint(&address).unwrap().connect_lazy();
    let answer = AgentClient::new(channel).list_file_systems(ListFileSystemsRequest {}).await;
    serving.abort();
    answer.map(drop)
}

#[tokio::test]
async fn both_ends_of_one_authority_understand_each_other() {
    let ours = authority("test", Timestamp::now()).unwrap();
    call(credentials(&ours, SERVER, &[&ours]), credentials(&ours, CLIENT, &[&ours])).await.unwrap();
}

#[tokio::test]
async fn at_the_turn_to_a_new_authority_old_and_new_certificates_are_good() {
    let (old, new) = (authority("test", years_ago(7)).unwrap(), authority("test", Timestamp::now()).unwrap());
    let both = [&new, &old];
    for (server, client) in [(&old, &new), (&new, &old), (&old, &old), (&new, &new)] {
        call(credentials(server, SERVER, &both), credentials(client, CLIENT, &both)).await.unwrap();
    }
}

#[tokio::test]
async fn who_has_another_authoritys_certificate_is_let_in_nowhere() {
    let (ours, others) =
        (authority("test", Timestamp::now()).unwrap(), authority("test", years_ago(1)).unwrap());
    let stranger = credentials(&others, CLIENT, &[&ours]);
    call(credentials(&ours, SERVER, &[&ours]), stranger).await.unwrap_err();
    let impostor = credentials(&others, SERVER, &[&ours]);
    call(impostor, credentials(&ours, CLIENT, &[&ours])).await.unwrap_err();
}

#[tokio::test]
async fn a_callers_certificate_makes_no_server() {
    let ours = authority("test", Timestamp::now()).unwrap();
    let caller = credentials(&ours, CLIENT, &[&ours]);
    call(caller.clone(), caller).await.unwrap_err();
}

//! Which way is taken: decided from what was typed, the environment and the login. Pure.

use anyhow::Result;
use zeroize::Zeroizing;

use super::Connection;
use super::address::Address;
use super::saved::Saved;
use super::token::Source;
use super::trust::Trust;
use crate::client::error::Refused;

/// The variables; those with a flag of their own come by clap.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `WFS_TOKEN`.
    pub token: Option<Zeroizing<String>>,
    /// `LEPTON_WORKSPACE_URL`.
    pub lepton_url: Option<String>,
    /// `LEPTON_WORKSPACE_ID`: an id, or `id:token`.
    pub lepton_id: Option<Zeroizing<String>>,
    /// `LEPTON_WORKSPACE_TOKEN`.
    pub lepton_token: Option<Zeroizing<String>>,
}

/// The way.
pub enum Choice {
    /// To an address.
    Direct(Direct),
    /// Through the API server of the kubeconfig.
    Context {
        /// Instead of the context's.
        token: Option<Source>,
    },
}

/// An address and what belongs to it.
pub struct Direct {
    /// Where.
    pub address: Address,
    /// What is believed there.
    pub trust: Trust,
    /// As whom.
    pub token: Source,
    /// The namespace.
    pub workspace: Option<String>,
}

impl Environment {
    /// What it is now; an empty variable is none.
    pub fn read() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Self {
            token: read("WFS_TOKEN").map(Zeroizing::new),
            lepton_url: read("LEPTON_WORKSPACE_URL"),
            lepton_id: read("LEPTON_WORKSPACE_ID").map(Zeroizing::new),
            lepton_token: read("LEPTON_WORKSPACE_TOKEN").map(Zeroizing::new),
        }
    }

    fn lepton_workspace(&self) -> Option<String> {
        let id = self.lepton_id.as_ref()?;
        Some(id.split_once(':').map_or(id.as_str(), |(id, _)| id).to_owned())
    }

    fn lepton_secret(&self) -> Option<Zeroizing<String>> {
        let in_id =
            || self.lepton_id.as_ref()?.split_once(':').map(|(_, token)| Zeroizing::new(token.to_owned()));
        self.lepton_token.clone().or_else(in_id)
    }
}

/// In this order: a context that was named, `WFS_URL`, `LEPTON_WORKSPACE_URL`, the login, the kubeconfig.
///
/// # Errors
/// [`Refused`]: an address without a token; what cannot be an address.
pub fn choose(asked: &Connection, environment: &Environment, saved: Option<Saved>) -> Result<Choice> {
    let own = own_token(asked, environment);
    if asked.context.is_some() {
        return Ok(Choice::Context { token: own });
    }
    if let Some(url) = &asked.url {
        let address = address(url)?;
        let saved = saved.filter(|saved| Address::parse(&saved.url).is_ok_and(|known| known == address));
        let token = own.or_else(|| saved.as_ref().map(super::token_of)).ok_or_else(|| {
            Refused::because(
                "there is an address and no token: set WFS_TOKEN, or name a file by --token-file",
            )
        })?;
        let ca = asked.ca.clone().or_else(|| saved.as_ref().and_then(|saved| saved.ca.clone()));
        let workspace = saved.and_then(|saved| saved.workspace);
        return direct(asked, address, ca.as_deref(), token, workspace);
    }
    if let Some(url) = &environment.lepton_url {
        let address = address(url)?;
        let token = own.or_else(|| environment.lepton_secret().map(Source::Fixed)).ok_or_else(|| {
            Refused::because("LEPTON_WORKSPACE_URL is set, and LEPTON_WORKSPACE_TOKEN is not")
        })?;
        let workspace = address.workspace.clone().or_else(|| environment.lepton_workspace());
        return direct(asked, address, asked.ca.as_deref(), token, workspace);
    }
    if let Some(saved) = saved {
        let token = own.unwrap_or_else(|| super::token_of(&saved));
        let ca = asked.ca.clone().or(saved.ca);
        return direct(asked, address(&saved.url)?, ca.as_deref(), token, saved.workspace);
    }
    Ok(Choice::Context { token: own })
}

fn own_token(asked: &Connection, environment: &Environment) -> Option<Source> {
    let file = asked.token_file.clone().map(Source::File);
    file.or_else(|| environment.token.clone().map(Source::Fixed))
}

fn address(url: &str) -> Result<Address> {
    Address::parse(url).map_err(|error| Refused::because(error.to_string()))
}

fn direct(
    asked: &Connection,
    address: Address,
    ca: Option<&str>,
    token: Source,
    workspace: Option<String>,
) -> Result<Choice> {
    let trust = ca.map_or(Ok(Trust::System), Trust::parse);
    let trust = trust.map_err(|error| Refused::because(error.to_string()))?;
    let workspace = asked.namespace.clone().or_else(|| address.workspace.clone()).or(workspace);
    Ok(Choice::Direct(Direct { address, trust, token, workspace }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(text.into()))
    }

    fn saved() -> Option<Saved> {
        Some(Saved {
            url: "https://saved".into(),
            token: Zeroizing::new("of-login".into()),
            ca: None,
            workspace: Some("team-s".into()),
        })
    }

    fn lepton() -> Environment {
        Environment {
            lepton_url: Some("https://lepton/api/v2/workspaces/team-l".into()),
            lepton_id: secret("team-i:of-id"),
            ..Environment::default()
        }
    }

    fn told(choice: &Choice) -> String {
        let word = |source: &Source| match source {
            Source::Fixed(token) => token.to_string(),
            Source::File(path) => path.display().to_string(),
            _ => unreachable!(),
        };
        match choice {
            Choice::Direct(direct) => {
                let workspace = direct.workspace.as_deref().unwrap_or("-");
                format!("{} {} {workspace}", direct.address.host, word(&direct.token))
            }
            Choice::Context { token } => format!("context {}", token.as_ref().map(word).unwrap_or_default()),
        }
    }

    #[test]
    fn what_is_typed_comes_before_the_environment_and_that_before_the_login() {
        let none = Connection::default();
        let url = Connection { url: Some("https://u".into()), ..Connection::default() };
        let known = Connection { url: Some("https://saved/".into()), ..Connection::default() };
        let context = Connection { context: Some("c".into()), ..url.clone() };
        let named = Connection { namespace: Some("n".into()), ..Connection::default() };
        let file = Connection { token_file: Some("/t".into()), ..url.clone() };
        let wfs = Environment { token: secret("of-env"), ..lepton() };
        for (asked, environment, saved, way) in [
            (&none, Environment::default(), None, "context "),
            (&none, Environment { token: secret("x"), ..Environment::default() }, None, "context x"),
            (&context, wfs.clone(), saved(), "context of-env"),
            (&url, wfs.clone(), saved(), "u of-env -"),
            (&file, wfs, saved(), "u /t -"),
            (&known, Environment::default(), saved(), "saved of-login team-s"),
            (&none, lepton(), saved(), "lepton of-id team-l"),
            (&named, lepton(), saved(), "lepton of-id n"),
            (&none, Environment { lepton_token: secret("of-var"), ..lepton() }, None, "lepton of-var team-l"),
            (&none, Environment::default(), saved(), "saved of-login team-s"),
        ] {
            assert_eq!(told(&choose(asked, &environment, saved).unwrap()), way);
        }
    }

    #[test]
    fn a_login_is_not_shown_to_another_gateway() {
        let url = Connection { url: Some("https://u".into()), ..Connection::default() };
        let refused = choose(&url, &Environment::default(), saved()).err().unwrap();
        assert!(refused.is::<Refused>() && refused.to_string().contains("WFS_TOKEN"));
    }
}

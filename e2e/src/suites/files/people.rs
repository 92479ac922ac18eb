//! People: ServiceAccounts with one of the chart's roles in one workspace, and tokens as `kubectl create token` gives them; and what
//! most cases begin with, a workspace with one FileSystem whose files can be reached.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use workspacefs_api::FileSystem;

use super::door::{Door, Files};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};

/// The chart's role for who may read.
pub const VIEWER: &str = "workspacefs-viewer";
/// The chart's role for who may read, write and delete.
pub const EDITOR: &str = "workspacefs-editor";
/// What most cases call their FileSystem, and its folder on the storage host.
pub const DATA: &str = "data";
/// Time for a pod of `files`: its FileSystem has to be mounted first.
pub const FILES_TIME_MAX: Duration = seconds(180);
/// A token's life: longer than any case.
const TOKEN_SECONDS: i64 = 3600;

/// What most cases begin with.
pub struct Shop {
    /// The gateway.
    pub door: Door,
    /// The token of somebody who may do everything.
    pub token: String,
    /// The files of [`DATA`], as they reach them.
    pub files: Files,
}

impl Shop {
    /// Makes the namespace a workspace with the FileSystem [`DATA`] on the storage host, whose folder everybody may write to.
    pub async fn open(context: &Context) -> Result<Shop> {
        Shop::open_with(context, DATA, json!({})).await
    }

    /// The same with further fields of the FileSystem's spec, and of another name.
    pub async fn open_with(context: &Context, name: &str, fields: Value) -> Result<Shop> {
        context.become_workspace().await?;
        context.on_server(&format!("mkdir -p {name} && chmod 0777 {name}")).await?;
        let mut spec = fields;
        spec["backend"] = context.shared(name);
        context.file_system_with(name, spec).await?;
        context.files_run(name).await?;
        let token = context.person("editor", Some(EDITOR)).await?;
        let door = Door::of(context).await?;
        let files = door.with(&token).files(context.namespace(), name);
        reached(&files).await?;
        Ok(Shop { door, token, files })
    }
}

/// Waits until the files are reached: the gateway hears of a workspace and of a right as anybody does.
pub async fn reached(files: &Files) -> Result<()> {
    let look = || async { files.get("usage").await?.expect(200).map(drop) };
    until("the gateway reaches the files", seconds(60), look).await
}

impl Context {
    /// Makes a ServiceAccount, with this ClusterRole in the namespace if one is named, and gives a token of it.
    pub async fn person(&self, name: &str, role: Option<&str>) -> Result<String> {
        let account = json!({ "metadata": { "name": name } });
        self.accounts().create(&PostParams::default(), &serde_json::from_value(account)?).await?;
        if let Some(role) = role {
            self.give(name, role).await?;
        }
        self.token(name).await
    }

    /// Gives a ServiceAccount of the namespace this ClusterRole there; the RoleBinding is called like the account.
    pub async fn give(&self, name: &str, role: &str) -> Result<()> {
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": self.namespace() }],
        });
        self.bindings().create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
        Ok(())
    }

    /// Takes back what [`Context::give`] gave.
    pub async fn take_back(&self, name: &str) -> Result<()> {
        self.bindings().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// A token of a ServiceAccount, as `kubectl create token` gives it.
    pub async fn token(&self, name: &str) -> Result<String> {
        let wish = json!({ "spec": { "audiences": [], "expirationSeconds": TOKEN_SECONDS } });
        let wish: TokenRequest = serde_json::from_value(wish)?;
        let made = self.accounts().create_token_request(name, &PostParams::default(), &wish).await?;
        Ok(made.status.context("no token was made")?.token)
    }

    /// The namespace's ServiceAccounts.
    pub fn accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client(), self.namespace())
    }

    fn bindings(&self) -> Api<RoleBinding> {
        Api::namespaced(self.client(), self.namespace())
    }

    /// Waits until the `files` of a FileSystem run.
    pub async fn files_run(&self, name: &str) -> Result<FileSystem> {
        self.reason(name, "FilesReady", "Running", FILES_TIME_MAX).await
    }

    /// The message of condition FilesReady.
    pub async fn files_message(&self, name: &str) -> Result<String> {
        let object = self.file_systems().get(name).await?;
        let condition = object.condition("FilesReady").context("there is no FilesReady")?;
        ensure!(!condition.message.is_empty(), "FilesReady says nothing");
        Ok(condition.message.clone())
    }
}

//! What asks for what it may not have is told why on its claim, and leaves nothing behind.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::suites::case::{Case, cases};
use crate::suites::context::Context;
use crate::suites::wait::{seconds, until};

pub fn cases() -> Vec<Case> {
    cases![
        a_class_that_names_no_file_system_is_told_on_the_claim,
        a_class_with_a_word_nobody_knows_is_told_on_the_claim,
        a_claim_from_another_namespace_is_refused_unless_the_class_allows_it,
    ]
}

/// Applies a class of the case's own, named after the namespace.
async fn class(context: &Context, name: &str, parameters: Value) -> Result<String> {
    let name = format!("{}-{name}", context.namespace());
    let object = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": { "name": name },
        "provisioner": "csi.workspacefs.io",
        "parameters": parameters,
        "reclaimPolicy": "Delete",
    });
    context.apply(&object.to_string()).await?;
    Ok(name)
}

/// A claim of the class is refused in these words; the class is removed again.
async fn refused(context: &Context, class: &str, words: &[&str]) -> Result<()> {
    context.create_claim("asks", class, "10Mi").await?;
    let mut all = vec!["ProvisioningFailed"];
    all.extend(words);
    let told = context.event("asks", &all, seconds(60)).await;
    // A refusal is final: a claim that is deleted is not held by the provisioner.
    context.claims().delete("asks", &Default::default()).await?;
    let look = || async {
        ensure!(context.claims().get_opt("asks").await?.is_none(), "the claim is still there");
        Ok(())
    };
    until("the claim is gone", seconds(30), look).await?;
    context.kubectl(&["delete", "storageclass", class], "").await?;
    context.note(told?);
    Ok(())
}

async fn a_class_that_names_no_file_system_is_told_on_the_claim(context: Context) -> Result<()> {
    let parameters = json!({ "namespace": context.namespace(), "fileSystem": "missing" });
    let class = class(&context, "missing", parameters).await?;
    refused(&context, &class, &["missing"]).await
}

async fn a_class_with_a_word_nobody_knows_is_told_on_the_claim(context: Context) -> Result<()> {
    context.managed("data", "64Mi").await?;
    let parameters = json!({ "namespace": context.namespace(), "fileSystem": "data", "flavour": "sweet" });
    let class = class(&context, "unknown", parameters).await?;
    refused(&context, &class, &["flavour"]).await
}

async fn a_claim_from_another_namespace_is_refused_unless_the_class_allows_it(
    context: Context,
) -> Result<()> {
    let other = context.in_namespace(&format!("{}-b", context.namespace()));
    context.managed("data", "256Mi").await?;
    context.class_is_there("data").await?;
    other
        .apply(
            &json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": other.namespace(), "labels": {
                    "workspacefs.io/e2e": "managed" } },
            })
            .to_string(),
        )
        .await?;
    let outcome = from_another(&context, &other).await;
    context.kubectl(&["delete", "namespace", other.namespace(), "--timeout=100s"], "").await?;
    outcome
}

async fn from_another(context: &Context, other: &Context) -> Result<()> {
    other.create_claim("asks", &context.class_of("data"), "10Mi").await?;
    other.event("asks", &["ProvisioningFailed", "namespace"], seconds(60)).await?;
    other.claims().delete("asks", &Default::default()).await?;
    let parameters = json!({
        "namespace": context.namespace(), "fileSystem": "data", "allowedNamespaces": other.namespace(),
    });
    let class = class(context, "allows", parameters).await?;
    other.create_claim("may", &class, "10Mi").await?;
    let bound = other.bound("may").await;
    other.claims().delete("may", &Default::default()).await?;
    context.kubectl(&["delete", "storageclass", &class], "").await?;
    bound.map(drop)
}

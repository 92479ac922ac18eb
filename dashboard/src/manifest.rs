//! `POST /workspaces/{ws}/manifest`: the Mount page's form, read as hostile input, and the YAML that comes of it. What is wrong
//! names its field, also what the workspace does not have.

use kube::ResourceExt;
use serde::Deserialize;
use workspacefs_api::manifest::{self, Kind, Manifest, Mount, What};
use workspacefs_api::path::RelativePath;

use crate::error::ApiError;
use crate::objects::Objects;

/// Mounts of one container; more is no manifest that anybody reads.
const MOUNTS_MAX: usize = 64;

/// The form.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Form {
    kind: FormKind,
    name: String,
    image: String,
    node_group: Option<String>,
    #[serde(default)]
    mounts: Vec<FormMount>,
    #[serde(default)]
    command: Vec<String>,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormKind {
    Endpoint,
    DevPod,
    Job,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FormMount {
    file_system: Option<String>,
    local_storage: Option<String>,
    #[serde(default)]
    from: Option<String>,
    r#as: String,
    #[serde(default)]
    read_only: bool,
}

/// The YAML of what the form asks for, in that workspace.
///
/// # Errors
/// [`ApiError::BadRequest`] with the field.
pub fn yaml(form: Form, ws: &str, group_label: &str, objects: &Objects) -> Result<String, ApiError> {
    let manifest = read(form, ws, group_label)?;
    check(&manifest, ws, objects)?;
    let objects = manifest::objects(&manifest)
        .map_err(|error| ApiError::bad(error.to_string(), Some(error.field())))?;
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    let documents = documents.map_err(|error| {
        tracing::error!(%error, "a manifest is no YAML");
        ApiError::Internal
    })?;
    Ok(documents.join("---\n"))
}

fn read(form: Form, ws: &str, group_label: &str) -> Result<Manifest, ApiError> {
    let field = |field: &str| {
        let field = field.to_owned();
        move |why: String| ApiError::bad(why, Some(field))
    };
    if form.mounts.len() > MOUNTS_MAX {
        return Err(field("mounts")(format!("more than {MOUNTS_MAX} mounts")));
    }
    let kind = match form.kind {
        FormKind::Endpoint => Kind::Endpoint,
        FormKind::DevPod => Kind::DevPod,
        FormKind::Job => Kind::Job,
    };
    let name = manifest::name(&form.name).map_err(field("name"))?;
    let image = manifest::image(&form.image).map_err(field("image"))?;
    let mut manifest = Manifest::new(kind, name, image);
    manifest.namespace = Some(manifest::name(ws).map_err(field("namespace"))?);
    manifest.node_group_label = group_label.to_owned();
    let group = form.node_group.filter(|group| !group.is_empty());
    manifest.node_group =
        group.map(|group| manifest::label_value(&group)).transpose().map_err(field("nodeGroup"))?;
    manifest.command = form.command;
    match form.port {
        Some(0) => return Err(field("port")("a port is 1 to 65535".into())),
        Some(port) => manifest.port = port,
        None => {}
    }
    for (number, mount) in form.mounts.into_iter().enumerate() {
        manifest
            .mounts
            .push(read_mount(mount).map_err(|(name, why)| field(&format!("mounts[{number}].{name}"))(why))?);
    }
    Ok(manifest)
}

fn read_mount(mount: FormMount) -> Result<Mount, (&'static str, String)> {
    let what = match (mount.file_system, mount.local_storage) {
        (Some(name), None) => {
            manifest::name(&name).map(What::FileSystem).map_err(|why| ("fileSystem", why))?
        }
        (None, Some(name)) => {
            manifest::name(&name).map(What::LocalStorage).map_err(|why| ("localStorage", why))?
        }
        _ => return Err(("fileSystem", "a mount is of a file system or of a local storage".into())),
    };
    let from = RelativePath::parse(mount.from.as_deref().unwrap_or_default())
        .map_err(|error| ("from", error.to_string()))?;
    let at = manifest::place(&mount.r#as).map_err(|why| ("as", why))?;
    Ok(Mount { what, from, at, read_only: mount.read_only })
}

/// What Kubernetes would accept and no node could run.
fn check(manifest: &Manifest, ws: &str, objects: &Objects) -> Result<(), ApiError> {
    let group = manifest.node_group.as_deref();
    let storages = objects.storages(ws);
    for (number, mount) in manifest.mounts.iter().enumerate() {
        let refuse = |field: &str, why: String| {
            let field = if field == "nodeGroup" { field.into() } else { format!("mounts[{number}].{field}") };
            Err(ApiError::bad(why, Some(field)))
        };
        match &mount.what {
            What::FileSystem(name) => {
                let Some(fs) = objects.file_system(ws, name.as_str()) else {
                    return refuse("fileSystem", format!("the workspace has no file system {name}"));
                };
                if let (Some(of), Some(group)) = (fs.spec.node_group.as_deref(), group)
                    && of != group
                {
                    return refuse(
                        "nodeGroup",
                        format!("file system {name} is mounted on nodes of {of} only"),
                    );
                }
            }
            What::LocalStorage(name) => {
                let Some(storage) = storages.iter().find(|storage| storage.name_any() == name.as_str())
                else {
                    return refuse("localStorage", format!("the workspace has no local storage {name}"));
                };
                let of = &storage.spec.node_group;
                if group.is_some_and(|group| group != of) {
                    return refuse("nodeGroup", format!("local storage {name} is on nodes of {of} only"));
                }
            }
        }
    }
    Ok(())
}

//! The OpenAPI document, made from the routes themselves, and committed as `files/openapi.json`. Tests compare the two, and each
//! answer that they get with what the document says of its route.

use utoipa::OpenApi;
use workspacefs_files_proto::ErrorBody;

use crate::imports::routes as imports;
use crate::routes::{batch, browse, change, content, rsync, streams, trash, uploads};

/// Of all routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "workspacefs files",
        description = "The files of one FileSystem. ADR 18 says more.",
        version = "1"
    ),
    components(schemas(ErrorBody)),
    paths(
        browse::list,
        browse::stat,
        browse::usage,
        change::make_folder,
        change::move_entry,
        content::download,
        content::upload,
        content::create,
        content::delete,
        streams::archive,
        batch::unpack,
        batch::bundle,
        streams::search,
        streams::copy,
        rsync::state,
        rsync::tunnel,
        rsync::secret,
        trash::list,
        trash::restore,
        trash::remove,
        trash::empty,
        uploads::capabilities,
        uploads::list,
        uploads::create,
        uploads::offset,
        uploads::append,
        uploads::remove,
        imports::list,
        imports::begin,
        imports::show,
        imports::resume,
        imports::end,
    )
)]
struct Document;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// As it is committed: `files/openapi.json`.
pub fn text() -> String {
    let text = serde_json::to_string_pretty(&document()).expect("a document of strings is JSON");
    format!("{text}\n")
}

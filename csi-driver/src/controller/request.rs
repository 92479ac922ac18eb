//! What CreateVolume asks of any driver of ours, before the StorageClass's own parameters: the rules that both have in common.

use workspacefs_csi_proto::csi::v1::CreateVolumeRequest;

use super::record::{RangeError, record};
use crate::share::VolumeRecord;

/// What CSI allows a name to have.
const NAME_BYTES_MAX: usize = 128;

/// A request that no driver of ours can serve.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RequestError {
    #[error("name is missing")]
    NoName,
    #[error("name is longer than {NAME_BYTES_MAX} bytes")]
    LongName,
    #[error("volume capabilities are missing")]
    NoCapabilities,
    #[error("volumes from snapshots or other volumes are not supported")]
    ContentSource,
    #[error("mutable parameters are not supported")]
    MutableParameters,
    #[error(transparent)]
    Range(RangeError),
}

/// The sizes asked for, if the rest of the request makes sense. Its capabilities and parameters are not looked at.
///
/// # Errors
/// The first thing that is missing or cannot be served.
pub fn sizes(request: &CreateVolumeRequest) -> Result<VolumeRecord, RequestError> {
    if request.name.is_empty() {
        return Err(RequestError::NoName);
    }
    if request.name.len() > NAME_BYTES_MAX {
        return Err(RequestError::LongName);
    }
    if request.volume_capabilities.is_empty() {
        return Err(RequestError::NoCapabilities);
    }
    if request.volume_content_source.is_some() {
        return Err(RequestError::ContentSource);
    }
    if !request.mutable_parameters.is_empty() {
        return Err(RequestError::MutableParameters);
    }
    record(request.capacity_range.as_ref()).map_err(RequestError::Range)
}

#[cfg(test)]
mod tests {
    use workspacefs_csi_proto::csi::v1::{CapacityRange, VolumeCapability, VolumeContentSource};

    use super::*;

    #[test]
    fn a_request_that_nobody_can_serve_is_refused_by_its_first_fault() {
        let good = CreateVolumeRequest {
            name: "pvc-1".into(),
            volume_capabilities: vec![VolumeCapability::default()],
            capacity_range: Some(CapacityRange { required_bytes: 1, limit_bytes: 2 }),
            ..Default::default()
        };
        assert_eq!(sizes(&good), Ok(VolumeRecord { required_bytes: 1, limit_bytes: 2 }));
        let bad = |change: fn(&mut CreateVolumeRequest)| {
            let mut request = good.clone();
            change(&mut request);
            sizes(&request).unwrap_err()
        };
        assert_eq!(bad(|r| r.name.clear()), RequestError::NoName);
        assert_eq!(bad(|r| r.name = "n".repeat(129)), RequestError::LongName);
        assert_eq!(bad(|r| r.volume_capabilities.clear()), RequestError::NoCapabilities);
        let source = |r: &mut CreateVolumeRequest| {
            r.volume_content_source = Some(VolumeContentSource::default());
        };
        assert_eq!(bad(source), RequestError::ContentSource);
        let mutable = |r: &mut CreateVolumeRequest| {
            r.mutable_parameters = [("a".to_owned(), "b".to_owned())].into();
        };
        assert_eq!(bad(mutable), RequestError::MutableParameters);
        let range = |r: &mut CreateVolumeRequest| {
            r.capacity_range = Some(CapacityRange { required_bytes: 2, limit_bytes: 1 });
        };
        assert!(matches!(bad(range), RequestError::Range(_)));
    }
}

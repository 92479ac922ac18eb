//! What a NodePublishVolume of a volume that is published already gets: the table of the CSI specification, as a pure
//! function.

use workspacefs_csi_proto::csi::v1::volume_capability::access_mode::Mode;

/// What is published at the very target that is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AtTarget {
    /// Nothing.
    Nothing,
    /// The same volume, with the same arguments.
    Same,
    /// Another volume, or the same with other arguments.
    Other,
}

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Mount it.
    Publish,
    /// It is done already: OK.
    Done,
    /// Something else is there: ALREADY_EXISTS.
    Incompatible,
    /// It is published at another target, and one of the two allows no second one: FAILED_PRECONDITION.
    SingleTarget,
}

/// Decides for a request with access mode `asked`, given the access modes with which the same volume is published at
/// other targets of this node.
pub fn decide(asked: Mode, at_target: AtTarget, elsewhere: &[Mode]) -> Decision {
    match at_target {
        AtTarget::Same => Decision::Done,
        AtTarget::Other => Decision::Incompatible,
        AtTarget::Nothing if elsewhere.is_empty() => Decision::Publish,
        AtTarget::Nothing if is_for_one_target(asked) || elsewhere.iter().copied().any(is_for_one_target) => {
            Decision::SingleTarget
        }
        AtTarget::Nothing => Decision::Publish,
    }
}

/// Whether a mode allows only one target on a node.
fn is_for_one_target(mode: Mode) -> bool {
    match mode {
        Mode::SingleNodeWriter | Mode::SingleNodeReaderOnly | Mode::SingleNodeSingleWriter => true,
        Mode::SingleNodeMultiWriter
        | Mode::MultiNodeReaderOnly
        | Mode::MultiNodeSingleWriter
        | Mode::MultiNodeMultiWriter => false,
        // Refused before it comes here; if it did, the stricter answer is the safe one.
        Mode::Unknown => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Mode; 7] = [
        Mode::SingleNodeWriter,
        Mode::SingleNodeReaderOnly,
        Mode::MultiNodeReaderOnly,
        Mode::MultiNodeSingleWriter,
        Mode::MultiNodeMultiWriter,
        Mode::SingleNodeSingleWriter,
        Mode::SingleNodeMultiWriter,
    ];

    /// The table as the specification prints it, by the names of the modes.
    fn specification(mode: Mode, same_target: bool, same_arguments: bool) -> Decision {
        let several = mode.as_str_name().starts_with("MULTI_NODE_") || mode == Mode::SingleNodeMultiWriter;
        match (same_target, same_arguments, several) {
            (true, true, _) => Decision::Done,
            (true, false, _) => Decision::Incompatible,
            (false, _, true) => Decision::Publish,
            (false, _, false) => Decision::SingleTarget,
        }
    }

    #[test]
    fn every_line_of_the_specifications_table_holds() {
        let mut lines = 0;
        for mode in MODES {
            for same_target in [true, false] {
                for same_arguments in [true, false] {
                    let at_target = match (same_target, same_arguments) {
                        (true, true) => AtTarget::Same,
                        (true, false) => AtTarget::Other,
                        (false, _) => AtTarget::Nothing,
                    };
                    let elsewhere: &[Mode] = if same_target { &[] } else { &[mode] };
                    assert_eq!(
                        decide(mode, at_target, elsewhere),
                        specification(mode, same_target, same_arguments),
                        "{mode:?} same target {same_target} same arguments {same_arguments}"
                    );
                    lines += 1;
                }
            }
        }
        assert_eq!(lines, 28);
    }

    #[test]
    fn a_first_publish_is_always_done_and_the_target_asked_for_decides_before_any_other() {
        for asked in MODES {
            assert_eq!(decide(asked, AtTarget::Nothing, &[]), Decision::Publish);
            for other in MODES {
                assert_eq!(decide(asked, AtTarget::Same, &[other]), Decision::Done);
                assert_eq!(decide(asked, AtTarget::Other, &[other]), Decision::Incompatible);
            }
        }
    }

    #[test]
    fn of_two_different_modes_the_stricter_one_decides() {
        for asked in MODES {
            for other in MODES {
                let expected = match specification(asked, false, true) == specification(other, false, true) {
                    true => specification(asked, false, true),
                    false => Decision::SingleTarget,
                };
                assert_eq!(
                    decide(asked, AtTarget::Nothing, &[other]),
                    expected,
                    "{asked:?} beside {other:?}"
                );
            }
        }
    }
}

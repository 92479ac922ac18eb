//! The cases, each by the rule it holds us to.

mod cache_claims;
pub mod caches;
mod faults;
mod folders;
mod kills;
mod leaving;
mod local;
mod local_cache;
mod local_volumes;
mod managed;
mod publish;
mod race;
mod reading;
mod real;
mod shares;
mod trash;
mod twice;
mod volumes;

use crate::world::Case;

#[derive(Clone, Copy)]
pub struct Named {
    pub name: &'static str,
    pub run: Case,
}

macro_rules! cases {
    ($list:ident: $($module:ident: $($case:ident),+;)+) => {
        pub const $list: &[Named] = &[$($(Named {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: |world| Box::pin($module::$case(world)),
        }),+),+];
    };
}

cases! {
    ALL:
    publish:
        publish_shows_the_folder_and_unpublish_leaves_nothing,
        a_second_publish_gets_what_the_specification_says,
        read_only_holds_for_whoever_sees_the_mount,
        every_view_is_nosuid_nodev_and_no_ones_peer,
        what_is_nested_in_one_volume_shows_in_no_other,
        bad_arguments_change_nothing,
        a_dedicated_file_system_stays_in_its_node_group,
        a_volume_keeps_the_options_it_was_mounted_with,
        what_is_mounted_already_is_so_whatever_became_of_its_file_system,
        two_calls_at_one_target_do_not_meet;
    folders:
        a_missing_folder_is_created_with_its_owner,
        an_existing_folder_keeps_its_owner,
        a_cut_creation_is_finished_and_a_strangers_folder_is_not_touched,
        a_finished_folders_record_is_asked_for_once_and_a_folder_made_anew_is_finished_all_the_same,
        root_squash_is_named_and_nothing_is_left,
        a_squashed_share_with_a_ready_folder_is_mounted,
        a_file_systems_folder_is_not_looked_for_behind_links,
        mount_from_is_a_folder_beneath,
        mount_from_that_leads_elsewhere_is_refused_with_its_path,
        what_hides_our_folder_is_never_seen_on_the_share,
        our_own_folder_is_hidden_and_out_of_reach;
    reading:
        usage_and_health_are_told,
        stats_never_wait_for_a_silent_server;
    shares:
        the_last_volume_gone_the_share_is_unmounted,
        a_share_that_was_never_recorded_is_found_again,
        a_new_plugin_finds_what_the_old_one_mounted,
        a_volume_whose_record_is_damaged_keeps_its_share,
        half_gone_targets_are_unpublished,
        a_mount_without_a_record_is_replaced,
        files_under_a_target_are_never_removed;
    faults:
        a_frozen_helper_is_given_up_at_the_deadline_and_other_shares_do_not_notice,
        a_killed_helper_is_replaced,
        a_server_that_is_not_there_is_said_so,
        a_silent_server_holds_no_one_but_its_own_callers,
        calls_that_queue_up_end_at_their_own_deadline,
        helpers_die_with_the_plugin;
    kills:
        a_publish_killed_at_any_step_is_completed_by_the_next,
        an_unpublish_killed_at_any_step_is_completed_by_the_next,
        a_killed_publish_that_is_never_repeated_leaves_nothing,
        a_helper_killed_at_any_step_leaves_no_folder_half_made;
    race:
        a_folder_swapped_for_a_link_a_million_times_never_leads_out,
        a_folder_is_never_made_behind_a_link;
    volumes:
        volumes_are_created_once_published_and_trashed,
        hostile_names_reach_nothing,
        a_detached_share_leaves_no_mount;
    managed:
        folders_of_the_embedded_server_are_shown_and_never_created,
        a_link_on_the_way_to_such_a_folder_is_not_followed,
        an_inline_volume_of_a_managed_file_system_waits_until_it_is_made,
        usage_and_limit_are_those_of_the_file_systems_status;
    cache_claims:
        a_caches_claim_is_its_current_copy_read_only_for_the_pods_life,
        a_caches_claim_without_a_ready_copy_is_refused_and_leaves_nothing,
        a_caches_claim_on_this_nodes_disk_waits_for_the_disk_and_holds_it;
    caches:
        a_cached_path_is_shown_from_its_copy_at_its_place_and_nothing_is_written_to_it,
        a_volume_rooted_at_or_below_a_cached_path_is_the_copy_only_where_nothing_is_written,
        an_exports_root_shows_copies_and_still_hides_our_folder,
        a_volume_without_caches_shows_none_whatever_the_order,
        a_copy_that_cannot_be_had_leaves_its_path_to_the_source,
        a_silent_target_holds_one_pod_for_a_while_and_no_other,
        copies_are_hidden_in_their_target_but_from_their_mover,
        what_a_volume_uses_is_told_and_kept_mounted_until_it_is_gone,
        a_volume_keeps_the_generation_it_was_published_with,
        copies_on_this_nodes_disk_are_shown_and_hidden_in_the_workspaces_share,
        a_copy_of_a_source_that_was_made_again_under_its_name_is_not_shown,
        a_publish_with_copies_killed_at_any_step_has_both_after_the_next,
        an_unpublish_with_copies_killed_at_any_step_is_completed_by_the_next;
    local:
        a_local_volume_is_the_workspaces_folder_on_this_nodes_disk,
        a_local_volume_is_mounted_only_where_it_may_be,
        what_is_mounted_from_a_disk_stays_so_whatever_became_of_it,
        nothing_in_a_pod_chooses_a_part_of_a_local_volume,
        a_disk_that_hangs_holds_its_own_callers_only,
        a_helper_that_answers_is_not_killed_for_the_time_that_others_waited,
        a_look_that_waits_for_the_caches_image_says_nothing_of_the_disk,
        a_new_plugin_knows_which_local_volumes_are_mounted;
    local_cache:
        a_mount_is_cached_where_the_cache_is_there_when_it_is_made_and_stays_what_it_is,
        who_asks_for_no_cache_never_shares_a_mount_with_who_has_one_whatever_the_order,
        a_claims_option_is_the_same_wish_and_a_node_that_keeps_no_cache_passes_it_on;
    local_volumes:
        a_claims_volume_is_a_folder_of_its_own_on_its_nodes_disk,
        a_claims_volume_is_mounted_where_it_is_and_made_by_no_mount,
        a_node_says_where_it_is,
        what_a_local_volume_asks_is_carried_out_and_its_status_says_so,
        an_object_that_somebody_deletes_takes_no_files_with_it_until_its_claim_ends,
        what_cannot_be_done_now_is_said_and_done_when_it_can,
        what_was_made_and_is_not_there_is_lost_and_found_again;
    leaving:
        a_deleted_volume_is_archived_under_the_name_that_was_asked_for,
        a_file_systems_own_folder_leaves_if_we_made_it,
        a_folder_that_is_not_known_to_be_ours_stays,
        a_folder_that_others_have_a_part_in_stays,
        what_stands_at_the_old_place_of_a_folder_that_left_is_not_taken_for_it,
        a_helper_killed_at_any_step_of_a_leave_loses_nothing_and_the_next_completes_it,
        a_helper_killed_at_any_step_of_a_volumes_life_leaves_nothing_half_made;
    trash:
        what_was_deleted_goes_after_its_time_and_not_before,
        nothing_but_our_own_entries_of_the_trash_is_ever_removed,
        a_trash_that_is_not_ours_is_not_looked_at,
        a_slice_has_its_count_and_its_time_and_the_next_goes_on,
        a_folder_that_cannot_be_removed_is_named_and_the_others_go,
        a_helper_killed_at_any_step_of_emptying_is_followed_by_one_that_goes_on;
    twice:
        every_line_of_the_specifications_table_holds_for_real_mounts,
        every_line_of_the_table_holds_for_local_volumes_of_both_kinds,
        node_publish_volume_is_idempotent,
        node_unpublish_volume_is_idempotent;
}

cases! {
    REAL:
    real:
        every_version_mounts_and_the_newest_is_preferred,
        every_option_on_the_allow_list_is_known_to_the_kernel,
        what_is_wrong_with_a_server_is_said_in_words,
        a_server_that_squashes_root_is_named,
        folders_get_their_owner_and_ours_stays_hidden,
        a_folder_made_anew_on_the_server_is_mounted_anew,
        a_deleted_folder_is_removed_over_nfs_after_its_time,
        a_frozen_server_wedges_nothing;
}

//! The cases, each by the rule it holds us to.

pub mod devices;
pub mod directories;
pub mod grace;
pub mod kills;
pub mod quotas;
pub mod server;
pub mod trash;

#[derive(Clone, Copy)]
pub struct Named {
    pub name: &'static str,
    pub run: fn(),
}

macro_rules! cases {
    ($list:ident: $($module:ident: $($case:ident),+;)+) => {
        pub const $list: &[Named] = &[$($(Named {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: $module::$case,
        }),+),+];
    };
}

cases! {
    REAL:
    devices:
        a_blank_device_becomes_ours_and_is_found_again,
        a_device_with_anything_on_it_is_never_written_to,
        our_own_formatting_killed_at_any_write_is_finished,
        a_device_killed_between_formatting_and_marker_is_ours,
        somebodys_files_under_our_label_are_left_alone,
        a_device_that_grew_is_grown,
        what_is_too_small_is_said_so,
        something_mounted_in_our_place_is_left_there;
    directories:
        a_directory_needs_xfs_with_enforced_quota,
        a_directory_with_a_project_or_with_files_is_refused,
        the_node_of_the_directorys_device_is_made,
        two_agents_never_have_one_directory;
    quotas:
        quota_stops_root_and_a_user_at_the_limit_and_no_neighbour,
        files_are_limited_too_and_usage_costs_the_same_for_any_number,
        what_a_claim_gets_is_taken_from_its_file_system,
        owner_mode_and_quota_are_there_before_anybody_can_write,
        a_folder_cannot_be_moved_out_of_its_quota,
        removed_folders_are_moved_emptied_and_their_quota_ends,
        an_open_file_keeps_its_project_from_being_given_again,
        a_power_cut_loses_nothing_that_was_answered;
    kills:
        making_a_file_system_killed_anywhere,
        making_a_claim_killed_anywhere,
        growing_a_claim_killed_anywhere,
        removing_a_claim_killed_anywhere,
        emptying_the_trash_killed_anywhere;
}

cases! {
    GANESHA:
    server:
        a_pod_writes_up_to_its_quota_and_hears_why_it_is_stopped,
        only_version_4_1_and_4_2_are_served,
        a_folder_made_again_is_never_the_old_one,
        a_new_folder_is_found_at_once_by_clients_that_saw_the_one_before,
        files_and_locks_outlive_the_servers_death,
        a_disk_under_another_number_gives_no_stale_handles,
        sigterm_ends_the_server_and_unmounts,
        a_refused_disk_is_explained_and_served_once_it_is_helped,
        the_first_process_of_a_container_reaps_orphans_and_passes_signals_on,
        the_command_line_lists_restores_and_discards,
        a_directory_is_served_as_a_device_is,
        space_of_an_emptied_folder_is_free_though_clients_had_it_open;
    grace:
        a_new_client_waits_while_the_grace_period_lasts_and_an_old_one_goes_on;
    trash:
        a_removed_folder_is_emptied_at_the_rate_that_the_agent_was_told;
}

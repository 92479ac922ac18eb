//! The cases, each by the rule it holds us to.

mod attributes;
mod cancelled;
mod changing;
mod compared;
mod confirmed;
mod content;
mod deep;
mod deletion;
mod destination;
mod earlier;
pub mod gone;
pub mod kills;
mod links;
mod mirrored;
mod model;
mod names;
mod races;
mod readers;
mod refusals;
mod slices;
mod special;
mod unreadable;
mod verified;

use crate::world::World;

#[derive(Clone, Copy)]
pub struct Named {
    pub name: &'static str,
    pub run: fn(&World),
}

macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        pub const ALL: &[Named] = &[$($(Named {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: $module::$case,
        }),+),+];
    };
}

cases! {
    model:
        a_run_makes_what_the_model_says_on_a_disk,
        a_run_makes_what_the_model_says_in_memory,
        whatever_an_earlier_copy_has_a_run_makes_what_the_model_says_and_leaves_that_as_it_was;
    earlier:
        what_is_unchanged_is_linked_and_not_read,
        a_file_with_other_attributes_is_copied_and_the_earlier_one_stays_as_it_was,
        names_of_one_file_stay_names_of_one_file,
        what_is_gone_from_the_source_does_not_come_back,
        a_file_with_as_many_names_as_it_can_have_is_copied,
        from_another_file_system_everything_is_copied,
        a_link_in_the_earlier_copy_is_not_followed,
        an_earlier_copy_in_the_destination_is_refused,
        deep_and_wide_trees_are_linked_with_few_descriptors;
    mirrored:
        a_limit_of_deletions_is_kept_and_what_it_saves_keeps_its_name,
        without_the_right_to_delete_only_directories_are_in_the_way,
        what_is_left_out_stays_where_everything_else_goes,
        chosen_paths_take_the_directories_above_them_and_nothing_beside,
        a_dry_run_foretells_attributes_too;
    races:
        a_source_directory_swapped_for_a_link_never_leads_out,
        a_destination_directory_swapped_for_a_link_never_leads_out,
        a_directory_swapped_for_a_link_while_it_is_deleted_never_leads_out,
        a_directory_or_file_swapped_for_a_link_while_it_is_linked_from_never_leads_out;
    changing:
        a_file_rewritten_in_place_is_never_copied_torn,
        a_large_file_rewritten_in_place_is_never_copied_torn,
        a_file_that_is_cut_and_written_anew_is_never_copied_mixed,
        a_file_that_grows_is_never_copied_with_gaps,
        a_file_that_is_replaced_is_copied_as_one_of_them,
        a_file_that_never_rests_is_reported,
        a_file_that_vanishes_is_no_failure_of_the_others;
    readers:
        a_reader_sees_old_or_new_whole_during_every_refresh;
    destination:
        a_full_destination_ends_the_run_in_order_and_the_next_goes_on,
        a_full_disk_ends_the_run_in_order_and_the_next_goes_on,
        a_destination_without_room_for_more_files_ends_the_run,
        a_read_only_destination_ends_the_run,
        a_destination_over_its_quota_ends_the_run_and_the_next_goes_on,
        a_destination_that_disappears_ends_the_run_and_the_next_goes_on,
        a_source_that_disappears_costs_the_destination_nothing,
        a_dry_run_needs_no_room;
    gone:
        a_source_whose_server_is_killed_ends_the_run_and_the_next_completes_it;
    kills:
        a_copy_killed_at_any_step_is_completed_by_the_next,
        a_copy_with_two_workers_killed_at_any_step_is_completed_by_the_next,
        a_copy_with_a_manifest_killed_at_any_step_is_completed_by_the_next,
        a_copy_of_a_large_file_killed_at_any_step_is_completed_by_the_next,
        a_copy_that_links_from_an_earlier_one_killed_at_any_step_leaves_that_as_it_was,
        a_deletion_killed_at_any_step_is_completed_by_the_next;
    deep:
        a_path_of_nine_thousand_characters_is_copied_on_a_small_stack_with_few_descriptors,
        a_wide_tree_is_copied_with_few_descriptors;
    unreadable:
        what_cannot_be_read_is_reported_and_the_rest_copied,
        what_cannot_be_written_is_reported_and_the_rest_copied,
        owners_that_cannot_be_kept_are_counted;
    content:
        sizes_around_every_edge_are_copied,
        large_files_are_copied_whole_by_any_number_of_workers,
        holes_stay_holes,
        large_files_are_copied_on_file_systems_that_share_blocks,
        no_more_is_read_in_a_second_than_the_limit;
    names:
        names_of_any_bytes_are_copied,
        names_like_our_temporary_ones_are_dealt_with,
        left_overs_of_a_dead_run_are_removed;
    links:
        links_are_copied_as_they_are_and_never_followed,
        hard_links_stay_hard_links_within_the_set_only,
        what_is_in_the_way_of_one_name_is_in_the_way_of_no_other,
        files_that_are_one_in_the_destination_only_become_two,
        files_with_other_attributes_that_are_one_in_the_destination_only_become_two;
    attributes:
        set_id_programs_keep_their_bits_with_their_owner_only,
        capabilities_and_attributes_are_kept_when_asked,
        access_control_lists_are_kept_when_asked_and_inherited_by_nobody,
        times_before_the_epoch_are_kept,
        attributes_alone_are_set_without_reading_content;
    special:
        special_files_are_noted_and_not_opened,
        special_files_in_the_destination_are_replaced_unopened,
        mounts_in_the_source_are_copied_and_those_in_the_destination_left_alone;
    cancelled:
        a_cancelled_run_ends_soon_and_the_next_reads_only_the_rest,
        a_cancelled_large_file_leaves_nothing,
        a_run_cancelled_before_it_begins_does_nothing;
    refusals:
        nested_directories_are_refused,
        two_runs_at_one_destination_are_refused,
        chosen_paths_that_lead_out_are_refused,
        a_chosen_path_that_is_not_there_is_said_so,
        directories_that_cannot_be_listed_are_refused;
    deletion:
        a_tree_is_deleted_whole,
        a_deep_tree_is_deleted_on_a_small_stack_with_few_descriptors,
        what_links_lead_to_stays,
        what_is_mounted_inside_stays,
        a_deletion_keeps_to_its_rate,
        a_deletion_that_is_cancelled_ends_soon_and_the_next_completes_it,
        a_file_or_a_link_is_deleted_itself,
        only_names_of_entries_are_taken;
    slices:
        each_slice_removes_as_many_as_it_may_and_the_next_goes_on,
        a_slice_without_time_removes_one,
        a_slice_ends_when_its_time_is_over,
        what_lies_deep_is_moved_up_so_that_no_slice_goes_down_to_it,
        what_cannot_be_moved_up_is_met_where_it_lies,
        of_a_wide_directory_each_slice_takes_its_part,
        a_slice_says_what_it_was_refused,
        one_worker_starts_no_thread;
    compared:
        a_comparison_writes_nothing_and_finds_what_only_a_ctime_tells,
        the_first_difference_ends_a_comparison;
    confirmed:
        what_is_not_as_written_is_reported_and_not_vouched_for_and_the_next_run_copies_it,
        files_are_read_back_while_others_are_still_to_be_copied,
        where_nothing_can_be_said_the_run_ends_and_nothing_is_vouched_for;
    verified:
        every_bit_that_is_flipped_is_found,
        a_manifest_lists_every_file_that_a_run_saw,
        a_manifest_takes_over_what_the_earlier_one_says,
        what_became_something_else_in_the_earlier_copy_is_copied,
        a_second_name_that_changes_while_it_is_read_is_not_vouched_for;
}

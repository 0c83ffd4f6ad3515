//! A real guardian with real servers.
//!
//! When a report says that a tree is gone its processes are looked for at once: the
//! report comes after the fact, so nothing is waited for.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, which clippy knows by #[test] only"
)]

mod ending;
mod holding;
#[path = "../../../sys/tests/it/runner.rs"]
mod runner;
mod starting;
mod world;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(world::GUARDIAN) {
        return match sys::stdin::take_socket() {
            Ok(socket) => guardian::run(
                socket,
                env::args_os().nth(2).map(PathBuf::from),
                world::EPOCH,
            ),
            Err(_) => ExitCode::FAILURE,
        };
    }
    runner::run(tests![
        starting::a_server_gets_exactly_the_environment_that_was_sent,
        starting::a_server_sees_three_descriptors_whatever_its_ancestors_left_open,
        starting::a_server_has_the_surroundings_that_were_asked_for,
        starting::a_server_has_its_own_name_for_itself,
        starting::a_program_that_cannot_be_run_is_told_by_name,
        starting::a_directory_that_cannot_be_entered_is_told_by_name,
        starting::a_program_is_not_searched_for,
        starting::an_upstream_is_not_started_twice,
        starting::a_server_without_pipes_is_not_started,
        ending::a_polite_server_ends_with_its_input,
        ending::a_server_that_ignores_its_input_gets_term,
        ending::a_server_that_ignores_term_is_killed,
        ending::a_second_stop_hurries_the_first,
        ending::children_that_a_server_leaves_behind_end_with_it,
        ending::a_double_fork_into_a_new_session_does_not_escape,
        ending::a_child_that_hides_its_origin_does_not_escape_a_stop,
        ending::without_a_descriptor_to_look_nobody_is_taken_for_gone,
        ending::what_a_crashed_server_leaves_behind_ends_as_well,
        ending::stopping_one_server_leaves_the_other_alone,
        ending::shutdown_leaves_nothing_not_even_those_of_unknown_origin,
        ending::servers_end_with_their_daemon,
        ending::term_ends_the_guardian_and_all_servers,
        ending::nonsense_ends_the_guardian_and_all_servers,
        ending::servers_get_term_when_the_guardian_is_killed,
        ending::orphans_are_reaped_while_their_server_runs,
        ending::two_hundred_short_servers_leave_no_zombie,
        holding::the_next_daemon_gets_the_servers_as_they_were,
        holding::servers_end_when_no_daemon_comes,
        holding::what_was_being_stopped_ends_under_the_next_daemon_as_well,
        holding::a_server_that_ends_while_no_daemon_is_there_is_told_to_the_next,
        holding::nobody_comes_in_beside_a_daemon,
        holding::who_comes_too_late_is_told_so,
        holding::a_guardian_without_servers_does_not_wait_for_anybody,
    ])
}

//! A real daemon with real sockets, a real guardian and real servers.
//!
//! The tests speak the link's protocol themselves: what a shim hides, they see. This program is
//! also the daemon, the guardian, the servers and the strange peers; the first argument says which.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, which clippy knows by #[test] only"
)]

mod floods;
mod links;
mod pool;
#[path = "../../../sys/tests/it/runner.rs"]
mod runner;
mod server;
mod strangers;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let role = env::args().nth(1);
    match role.as_deref() {
        Some(pool::DAEMON) => pool::serve(),
        Some("guardian") => match sys::stdin::take_socket() {
            Ok(socket) => {
                let [meeting_place, epoch] = [2, 3].map(|at| env::args_os().nth(at));
                let epoch = epoch.and_then(|epoch| epoch.to_str()?.parse().ok());
                guardian::run(socket, meeting_place.map(Into::into), epoch.unwrap_or(0))
            }
            Err(_) => ExitCode::FAILURE,
        },
        Some(server::ROLE) => server::run(),
        Some(strangers::OTHER_USER) => strangers::come_as_another_user(),
        Some(strangers::CONFINED) => strangers::come_confined(),
        _ => runner::run(tests![
            links::every_line_is_done_once_and_blank_ones_count,
            links::the_answer_of_a_call_follows_the_end_of_input,
            links::messages_of_ten_megabytes_pass_both_ways,
            links::sessions_of_one_key_share_one_process_and_get_their_own_answers,
            links::stop_is_answered_when_nothing_is_left,
            links::a_restarted_server_is_another_process_of_the_same_upstream,
            links::a_lost_guardian_is_replaced_and_what_was_open_is_answered,
            strangers::a_peer_of_another_user_is_not_read,
            strangers::a_confined_peer_runs_its_own_command_itself,
            strangers::what_is_no_preface_is_refused_in_words,
            floods::a_session_that_does_not_read_is_cut_and_stalls_nobody,
            floods::a_flood_of_complaints_is_drained_and_kept_within_bounds,
            floods::who_says_one_thing_waits_for_a_piece_of_a_flood_and_not_for_all_of_it,
            floods::noise_on_standard_output_is_passed_over_and_logged,
        ]),
    }
}

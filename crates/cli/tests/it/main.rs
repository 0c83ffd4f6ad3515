//! The real programs, end to end: shim, daemon, guardian and a scripted server.
//!
//! Each test has a home of its own and ends with nothing left of it.

#![expect(clippy::unwrap_used, reason = "that is how a test reports a surprise")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better with `json!(..)` than with `&json!(..)`"
)]

mod advise;
mod agreement;
mod calls;
mod chaos_asks;
mod chaos_crashes;
mod chaos_garbage;
mod chaos_ids;
mod chaos_links;
mod chaos_lists;
mod chaos_races;
mod chaos_together;
mod chaos_trees;
mod configuration;
mod credentials;
mod daemon;
mod devices;
mod doctor;
mod doctor_clients;
mod doctor_daemon;
mod doctor_servers;
mod failures;
mod floods;
mod front_faults;
mod hooks;
mod http;
mod http_edge;
mod http_modern;
mod http_modern_upgrade;
mod http_revival;
mod http_streams;
mod http_upgrade;
mod lazy;
mod life;
mod limits;
mod listens;
mod machine_disk;
mod machine_files;
mod machine_limits;
mod machine_time;
mod meeting;
mod moving;
mod moving_asked;
mod moving_from;
mod moving_http;
mod moving_local_scope;
mod moving_page;
mod moving_places;
mod moving_policies;
mod moving_races;
mod moving_release;
mod noise;
mod other_systems;
mod output;
mod pressure;
mod remote;
mod restarts;
mod secrets;
mod services;
mod sessions;
mod shims;
mod status;
mod stopping;
mod support;
mod takeover;
mod token;
mod trial;
mod unshared;
mod upgrade;
mod upgrade_signals;
mod workspaces;
mod ws;

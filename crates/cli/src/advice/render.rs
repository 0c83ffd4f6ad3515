//! The report for a person.

use super::{
    report::{Report, Server},
    verdict::Verdict,
};
use crate::ui::{Align, Page, Render, Table};

impl Render for Report {
    fn render(&self, page: &mut Page) {
        if self.servers.is_empty() {
            page.line(if self.sessions.is_empty() {
                "No agent session with MCP servers of its own runs on this machine."
            } else {
                "All servers of the agent sessions that run here go through mcpool."
            });
        } else {
            self.render_servers(page);
            page.blank();
            self.render_sum(page);
        }
        if !self.orphans.is_empty() {
            page.blank();
            self.render_orphans(page);
        }
        if let Some(ended) = self.ended {
            page.line(match (ended.orphans, ended.left) {
                (0, 0) => "There is nothing to end.".to_owned(),
                (ended, 0) => format!("Ended: {ended}."),
                (ended, left) => format!("Ended: {ended}. Still there: {left}."),
            });
        }
    }
}

impl Report {
    fn render_servers(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("SERVER", Align::Left),
            ("COPIES", Align::Right),
            ("SESSIONS", Align::Right),
            ("WORKSPACES", Align::Right),
            ("PROCESSES", Align::Right),
            ("MEMORY", Align::Right),
            ("WATCHES", Align::Right),
            ("READY", Align::Right),
            ("ROOTS", Align::Left),
            ("VERDICT", Align::Left),
        ]);
        for server in &self.servers {
            table.row([
                server.name.clone(),
                server.copies.len().to_string(),
                server.sessions.to_string(),
                server.workspaces.to_string(),
                server.now.processes.to_string(),
                megabytes(server.now.pss_kb),
                server.now.watches.to_string(),
                server
                    .ready_ms
                    .map_or_else(|| "?".into(), |ms| format!("{ms} ms")),
                roots(server).into(),
                server.verdict.words().into(),
            ]);
        }
        page.table(&table);
        page.blank();
        for server in &self.servers {
            page.line(format_args!(
                "{}: {}: {}.",
                server.name,
                server.verdict.words(),
                server.reason
            ));
        }
    }

    fn render_sum(&self, page: &mut Page) {
        let pooled: usize = self.sessions.iter().map(|session| session.pooled).sum();
        let mut table = Table::new(&[
            ("", Align::Left),
            ("PROCESSES", Align::Right),
            ("MEMORY", Align::Right),
        ]);
        let mut row = |what: &str, processes: usize, pss_kb: u64| {
            table.row([what.to_owned(), processes.to_string(), megabytes(pss_kb)]);
        };
        row("now", self.now.processes, self.now.pss_kb);
        let with = self.with_mcpool;
        row("with mcpool (about)", with.processes, with.pss_kb);
        page.table(&table);
        if pooled > 0 {
            page.line(format_args!(
                "Not counted: {pooled} servers of these sessions that go through mcpool already."
            ));
        }
        let is_moved = |server: &&Server| server.verdict != Verdict::LeaveOnStdio;
        if self.servers.iter().any(|server| is_moved(&server)) {
            page.line("`mcpool import` shows how to share what your clients' files name.");
        }
    }

    fn render_orphans(&self, page: &mut Page) {
        page.line("Left behind by sessions that have ended:");
        let mut table = Table::new(&[
            ("ORPHAN", Align::Left),
            ("PID", Align::Right),
            ("PROCESSES", Align::Right),
            ("MEMORY", Align::Right),
        ]);
        for orphan in &self.orphans {
            table.row([
                orphan.name.clone(),
                orphan.pid.to_string(),
                orphan.now.processes.to_string(),
                megabytes(orphan.now.pss_kb),
            ]);
        }
        page.table(&table);
        if self.ended.is_none() {
            page.line("`mcpool advise --kill-orphans` ends them, after it has asked.");
        }
    }
}

fn roots(server: &Server) -> &'static str {
    match server.asks_for_roots {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    }
}

fn megabytes(kb: u64) -> String {
    format!("{} MB", kb.div_ceil(1024))
}

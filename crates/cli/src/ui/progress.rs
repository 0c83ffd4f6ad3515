//! How far a longer work has come.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Ui;

/// Steps of a work: a moving line if a person watches, else one line per step.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    begun: u64,
}

impl Progress {
    pub(crate) fn new(ui: &Ui, steps: u64) -> Self {
        let bar = ui.is_watched().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress {
            bar,
            steps,
            begun: 0,
        }
    }

    /// Begins the next step.
    pub(crate) fn begin(&mut self, ui: &mut Ui, what: String) {
        self.begun += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.begun);
                bar.set_message(what);
            }
            None => ui.remark(format_args!("{}/{} {what}", self.begun, self.steps)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

//! What transforms run as, for people and for scripts.

use serde_json::json;

use crate::cli::columns;
use crate::cli::report::Failure;
use crate::cli::standing::Trouble;
use crate::datastore::{Deployed, Deployment, DeploymentState, RunsAs, ShadowFound};
use crate::engine::{DeployTarget, short_digest};

/// A transform of one destination.
pub struct Report {
    pub transform: String,
    pub destination: String,
    pub runs_as: Option<RunsAs>,
    pub deployment: Option<Deployment>,
    /// What came of running the manifest's candidate beside it.
    pub shadow: Option<ShadowFound>,
    /// What is to be said of its deployment, beside what the destination says.
    pub note: Option<String>,
}

impl Report {
    pub fn new(target: &DeployTarget, deployed: Option<&Deployed>) -> Report {
        Report {
            transform: target.transform.name.clone(),
            destination: target.group.slug.clone(),
            runs_as: deployed.and_then(|one| one.runs_as.clone()),
            deployment: deployed.and_then(|one| one.deployment.clone()),
            shadow: None,
            note: None,
        }
    }

    /// Returns lines about the candidate that runs beside it.
    pub fn shadow_lines(&self) -> Vec<String> {
        let Some(shadow) = &self.shadow else { return Vec::new() };
        let ShadowFound { digest, beside, compared, different, skipped, samples, problem, hint } = shadow;
        let (transform, destination) = (&self.transform, &self.destination);
        let of = if digest.is_empty() { "-".to_owned() } else { short_digest(digest).to_owned() };
        let mut lines = vec![format!(
            "{transform} at {destination}: candidate {of} beside {}: {compared} changes compared, {different} differ, {skipped} \
             skipped",
            short_digest(beside)
        )];
        let what = |sample: &serde_json::Value| Some(format!("  {}", sample.get("what")?.as_str()?));
        lines.extend(samples.iter().filter_map(what));
        lines.extend(problem.iter().map(|problem| format!("  {problem}")));
        lines.extend(hint.iter().map(|hint| format!("  Hint: {hint}")));
        lines
    }

    fn state(&self) -> &'static str {
        match self.deployment.as_ref().map(|one| one.state) {
            None => "-",
            Some(DeploymentState::Wanted) => "wanted",
            Some(DeploymentState::Taken) => "taken",
            Some(DeploymentState::Refused) => "refused",
        }
    }

    /// Returns why its newest deployment was refused.
    pub fn refusal(&self) -> Option<Trouble> {
        let refused = self.deployment.as_ref().filter(|one| one.state == DeploymentState::Refused)?;
        let digest = short_digest(&refused.digest);
        let what = format!("component {digest} was refused: {}", refused.problem.as_deref().unwrap_or("-"));
        Some(Trouble { what, hint: refused.hint.clone() })
    }

    pub fn to_json(&self) -> serde_json::Value {
        let runs_as = self.runs_as.as_ref();
        let deployment = self.deployment.as_ref();
        json!({
            "transform": self.transform,
            "destination": self.destination,
            "component": runs_as.map(|one| &one.digest),
            "position": runs_as.and_then(|one| one.lsn).map(|lsn| lsn.to_string()),
            "former": runs_as.and_then(|one| one.former.as_ref()).map(|(digest, _)| digest),
            "stateVersion": runs_as.map(|one| one.state_version),
            "deployment": deployment.map(|one| json!({
                "component": one.digest,
                "state": self.state(),
                "position": one.lsn.map(|lsn| lsn.to_string()),
                "problem": one.problem,
                "hint": one.hint,
            })),
            "shadow": self.shadow.as_ref().map(|one| json!({
                "component": one.digest,
                "beside": one.beside,
                "compared": one.compared,
                "different": one.different,
                "skipped": one.skipped,
                "samples": one.samples,
                "problem": one.problem,
                "hint": one.hint,
            })),
            "note": self.note,
        })
    }

    fn line(&self) -> [String; 6] {
        let short = |digest: &str| short_digest(digest).to_owned();
        let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let runs_as = self.runs_as.as_ref();
        [
            self.transform.clone(),
            self.destination.clone(),
            or(runs_as.map(|one| short(&one.digest))),
            or(runs_as.and_then(|one| one.lsn).map(|lsn| lsn.to_string())),
            or(runs_as.and_then(|one| one.former.as_ref()).map(|(digest, _)| short(digest))),
            self.state().to_owned(),
        ]
    }
}

/// Prints them.
///
/// # Errors
/// A deployment was refused; that has been said.
pub fn print(reports: &[Report], as_json: bool) -> Result<(), Failure> {
    if as_json {
        println!("{:#}", reports.iter().map(Report::to_json).collect::<serde_json::Value>());
    } else {
        print_text(reports);
        for report in reports {
            let name = format!("{} at {}", report.transform, report.destination);
            report.note.iter().for_each(|note| println!("\n{name}: {note}"));
            report.refusal().iter().for_each(|trouble| trouble.print(&name));
        }
    }
    let refused = |report: &Report| report.refusal().is_some();
    if reports.iter().any(refused) { Err(Failure::said()) } else { Ok(()) }
}

/// Prints the lines alone.
pub fn print_text(reports: &[Report]) {
    let head = ["TRANSFORM", "AT", "COMPONENT", "SINCE", "BEFORE", "DEPLOYMENT"].map(str::to_owned);
    columns::print(std::iter::once(head).chain(reports.iter().map(Report::line)));
}

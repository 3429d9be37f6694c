//! The scenes of the demo, in order. Each asks real questions through the mesh and notes answers.

mod latency;
mod policy;
mod split;
mod tcp;
mod traffic;
mod wire;

use super::{cast::ROLES, folder::Folder, mesh::Mesh, progress::Progress, report::Report};
use crate::failure::Failure;

/// Plays all scenes.
pub(super) fn play(mesh: &Mesh, folder: &Folder, progress: &Progress) -> Result<Report, Failure> {
    let mut report = Report::default();
    let sidecars = ROLES.iter().filter(|role| role.sidecar).count();
    report.page.cast = format!("{} pods, {sidecars} proxies, 1 control plane", ROLES.len());
    report.page.ready_ms = mesh.ready().as_millis();
    progress.step("watching the wire during the first requests");
    wire::play(mesh, &mut report)?;
    progress.step("2,000 requests: the canary's share");
    split::before(mesh, &mut report)?;
    progress.step("changing 90/10 to 50/50 while traffic flows");
    split::change(mesh, folder, &mut report)?;
    progress.step("asking what the policy forbids");
    policy::play(mesh, &mut report)?;
    progress.step("raw TCP");
    tcp::play(mesh, &mut report)?;
    latency::play(mesh, folder, progress, &mut report)?;

    Ok(report)
}

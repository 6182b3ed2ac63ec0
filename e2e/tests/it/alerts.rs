//! The alerts, played through by Prometheus's own tool.

use std::process::Command;

#[test]
fn alerts_fire_for_what_they_are_for_and_not_for_a_deployment() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");
    let promtool = Command::new("promtool")
        .args(["test", "rules", "alerts.test.yml"])
        .current_dir(folder)
        .output()
        .expect("promtool is installed: scripts/setup test");
    let said = String::from_utf8_lossy(&promtool.stdout) + String::from_utf8_lossy(&promtool.stderr);
    assert!(promtool.status.success(), "{said}");
}

//! Creating a cluster with `initdb`, all or nothing.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;

use crate::account::WhenParentDies;
use crate::installation::Installation;
use crate::place::Place;
use crate::{Durability, Error, SUPERUSER};

/// Creates the place's cluster. It is built beside its final name and renamed once complete, so that a process killed
/// half-way leaves nothing that looks like a cluster.
pub(crate) async fn create(place: &Place, installation: &Installation, durability: Durability) -> Result<(), Error> {
    tracing::info!(
        folder = %place.home().display(),
        version = installation.version(),
        "Creating a PostgreSQL cluster"
    );
    place.write_password(&new_password())?;
    let unfinished = place.home().join("cluster.unfinished");
    make_empty(&unfinished)?;
    place.account().own(&unfinished)?;
    run(initdb(place, installation, durability, &unfinished), place.home()).await?;
    fs::rename(&unfinished, place.cluster()).map_err(Error::io("cannot rename", &unfinished))?;
    File::open(place.home())
        .and_then(|home| home.sync_all())
        .map_err(Error::io("cannot flush", place.home()))
}

/// 256 bits in hexadecimal, which needs no escaping in a URL.
fn new_password() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_empty(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("cannot remove", folder)(error));
        }
        _ => {}
    }
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(Error::io("cannot create", folder))
}

fn initdb(place: &Place, installation: &Installation, durability: Durability, folder: &Path) -> Command {
    let program = installation.program("initdb");
    let mut command = place.account().command(&program, WhenParentDies::Kill);
    command
        .arg("--pgdata")
        .arg(folder)
        .arg("--pwfile")
        .arg(place.password_file())
        .arg(format!("--username={SUPERUSER}"))
        .args(["--encoding=UTF8", "--data-checksums"])
        .args(["--auth=scram-sha-256", "--no-instructions"]);
    // Text sorts by code point, the same on every machine, and upper and lower case are told apart beyond ASCII.
    command.arg("--locale=C");
    if installation.has_builtin_locale() {
        command.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    } else {
        command.arg("--lc-ctype=C.UTF-8");
    }
    if durability == Durability::ForTests {
        command.arg("--no-sync");
    }
    command
}

/// Runs `initdb` on a thread that waits for it: a thread that ended earlier would have the kernel kill it.
async fn run(mut command: Command, home: &Path) -> Result<(), Error> {
    let failed = |output: String| Error::Create {
        folder: home.to_owned(),
        output,
    };
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(Error::setpriv)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{} ({})", said.trim(), output.status)))
}

//! Secrets that nobody set are made once and kept in the data folder, so that a private Voltgate needs no configuration
//! and its tokens and passwords still hold after a restart.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::data_folder::DataFolder;
use crate::settings::Settings;

/// Random characters that stand for 256 bits.
pub fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Gives every secret that is not set a value.
///
/// # Errors
/// The data folder cannot keep them.
pub fn fill_in(settings: &mut Settings, folder: &DataFolder) -> anyhow::Result<()> {
    let secrets = [
        (&mut settings.common.access.service_secret, "service.secret"),
        (&mut settings.auth.auth_secret, "auth.secret"),
        (&mut settings.charger.charger_secret, "charger.secret"),
        (&mut settings.email.email_secret, "email.secret"),
    ];
    for (secret, file) in secrets {
        if secret.is_none() {
            *secret = Some(folder.secret_file(file, random)?);
        }
    }
    Ok(())
}

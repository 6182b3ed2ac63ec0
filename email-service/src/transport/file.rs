//! Mail as files, for a machine without a mail server: one `.eml` for each message, as any mail program opens it.
//!
//! A file is named by its message's id and appears whole or not at all, so sending one again changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use service_kit::start::StartError;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use super::{Gate, MailTransport, SendError, Verdict};
use crate::mail::Mail;

pub(crate) struct FileTransport {
    folder: PathBuf,
}

impl FileTransport {
    /// # Errors
    /// The folder, which is `EMAIL_FOLDER`, cannot be made.
    pub async fn into_folder(folder: PathBuf) -> Result<Self, StartError> {
        fs::create_dir_all(&folder).await.map_err(|error| {
            let problem = format!("cannot make the folder {}: {error}", folder.display());
            StartError::setting("EMAIL_FOLDER", problem)
        })?;
        Ok(Self { folder })
    }

    async fn write(&self, mail: &Mail) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("{}.eml", mail.id));
        let unfinished = self.folder.join(format!(".{}.eml.unfinished", mail.id));
        let mut file = File::create(&unfinished).await?;
        file.write_all(&mail.bytes).await?;
        file.sync_all().await?;
        fs::rename(&unfinished, &path).await?;
        sync(&self.folder).await?;
        Ok(path)
    }
}

/// The name of a file is on disk only when its folder is.
async fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder).await?.sync_all().await
}

#[async_trait]
impl MailTransport for FileTransport {
    async fn send(&self, mail: &Mail, _: &dyn Gate) -> Result<(), SendError> {
        match self.write(mail).await {
            Ok(path) => {
                tracing::info!(message = %mail.id, file = %path.display(), "A mail was written");
                Ok(())
            }
            Err(error) => Err(SendError::new(
                Verdict::Later,
                format!("the file cannot be written: {error}"),
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lettre::address::Envelope;
    use uuid::Uuid;

    use super::*;

    struct Open;

    #[async_trait]
    impl Gate for Open {
        async fn pass(&self) -> Result<(), SendError> {
            Ok(())
        }
    }

    fn mail(id: Uuid) -> Mail {
        Mail {
            id,
            envelope: Envelope::new(None, vec!["mara@example.org".parse().unwrap()]).unwrap(),
            bytes: b"Subject: hello\r\n\r\nhello\r\n".to_vec(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_mail_written_twice_is_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("not/there/yet");
        let transport = FileTransport::into_folder(below.clone()).await.unwrap();
        let mail = mail(Uuid::now_v7());
        transport.send(&mail, &Open).await.unwrap();
        transport.send(&mail, &Open).await.unwrap();
        assert_eq!(names(&below), [format!("{}.eml", mail.id)]);
        assert_eq!(
            std::fs::read(below.join(format!("{}.eml", mail.id))).unwrap(),
            mail.bytes
        );
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_a_reason_to_try_later() {
        let folder = tempfile::tempdir().unwrap();
        let transport = FileTransport::into_folder(folder.path().join("mail")).await.unwrap();
        std::fs::remove_dir(folder.path().join("mail")).unwrap();
        let error = transport.send(&mail(Uuid::now_v7()), &Open).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Later);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_names_its_setting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = FileTransport::into_folder(file.path().join("mail"))
            .await
            .err()
            .unwrap();
        assert!(error.to_string().starts_with("EMAIL_FOLDER: "), "{error}");
    }
}

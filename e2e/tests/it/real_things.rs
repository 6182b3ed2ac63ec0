//! The all-in-one process with a database, a broker and a mail server of somebody else's.

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::processes::{MailServer, somebody};
use e2e::wait::until;
use testbed::{Broker, Database};

#[tokio::test(flavor = "multi_thread")]
async fn with_urls_set_the_all_in_one_uses_what_they_name() {
    let (database, broker, mail) = (
        Database::create().await,
        Broker::create().await,
        MailServer::start().await,
    );
    let smtp = format!("smtp://127.0.0.1:{}", mail.port());
    let mut voltgate = Voltgate::start_with(&[
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("DATABASE_URL", database.url()),
        ("AMQP_URL", broker.url()),
        ("SMTP_URL", &smtp),
    ])
    .await;
    voltgate.api().post("/auth/signup", &somebody()).await.expect(201);
    let mails = until("the mail is there", async || {
        Some(mail.mails()).filter(|mails| !mails.is_empty())
    })
    .await;
    assert!(mails[0].contains("To: ada@example.com"));
    assert!(voltgate.mails().is_empty(), "nothing is written to the data folder");
    assert!(!voltgate.has_private_database(), "no private database is made");
    voltgate.process.stop().await;
}

//! What the person who started the process reads.

use std::io::Write;
use std::net::SocketAddr;

use auth_service::Password;
use gateway::PublicAddresses;

/// Where everything listens, and how to log in.
pub struct Announcement {
    pub gateway: PublicAddresses,
    pub services: Vec<(&'static str, SocketAddr)>,
    pub admin_username: String,
    /// Only when the administrator was made in this run, with a password that nobody chose.
    pub new_admin_password: Option<Password>,
}

impl Announcement {
    pub fn render(&self, admin: SocketAddr) -> String {
        let rest = self.gateway.url();
        let ocpp = rest.replacen("http", "ws", 1);
        let username = &self.admin_username;
        let mut lines = vec![
            "Voltgate is running.".to_owned(),
            String::new(),
            line("REST", &rest),
            line("Docs", &format!("{rest}/docs")),
            line("OCPP", &format!("{ocpp}/ocpp/{{identity}}")),
        ];
        for (name, address) in &self.services {
            lines.push(line("gRPC", &format!("{address}  {name}")));
        }
        lines.push(line("Metrics", &format!("http://{admin}/metrics")));
        lines.push(String::new());
        match &self.new_admin_password {
            Some(password) => {
                lines.push(line("Username", username));
                lines.push(line(
                    "Password",
                    &format!("{}  (shown this once; keep it)", password.as_str()),
                ));
            }
            None => lines.push(line(
                "Username",
                &format!("{username}  (password as set, or as shown at the first start)"),
            )),
        }
        lines.push(line(
            "Log in",
            &format!("curl {rest}/auth/login --json '{{\"username\": \"{username}\", \"password\": \"…\"}}'"),
        ));
        lines.push(String::new());
        lines.push("Ctrl-C stops everything.".to_owned());
        lines.push(String::new());
        lines.join("\n")
    }
}

fn line(label: &str, value: &str) -> String {
    format!("  {label:<10}{value}")
}

/// Writes to standard output, where nothing else goes: log lines have standard error to themselves.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "Standard output is closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(password: Option<&str>) -> String {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Announcement {
            gateway: PublicAddresses {
                http: Some(address(8080)),
                https: None,
            },
            services: vec![("auth-service", address(50051))],
            admin_username: "admin".to_owned(),
            new_admin_password: password.map(|text| Password::parse(text, None).expect("the password is good")),
        }
        .render(address(9090))
    }

    #[test]
    fn it_says_where_everything_listens() {
        let text = announcement(None);
        for address in [
            "http://127.0.0.1:8080/docs",
            "ws://127.0.0.1:8080/ocpp/",
            "127.0.0.1:50051",
            ":9090/metrics",
        ] {
            assert!(text.contains(address), "{address} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_generated_password_is_shown_only_when_there_is_one() {
        assert!(announcement(Some("correct horse")).contains("correct horse"));
        assert!(!announcement(None).contains("shown this once"));
    }
}

//! The settings of everything in one process.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gateway::Listen;
use service_kit::process::CommonSettings;

/// Voltgate, all in one process
#[derive(Parser)]
#[command(name = "voltgate", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Subcommand)]
pub enum Command {
    /// Prints every setting with its default, in the form of `.env.template`
    Settings,
}

#[derive(Args)]
#[group(skip)]
pub struct Settings {
    /// Where `voltgate` keeps its private database, its secrets and its mail
    #[arg(long, env, default_value = "./data")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub common: CommonSettings,
    #[command(flatten)]
    pub gateway: gateway::Settings,
    #[command(flatten)]
    pub auth: auth_service::Settings,
    #[command(flatten)]
    pub charger: charger_service::Settings,
    #[command(flatten)]
    pub email: email_service::Settings,
}

impl Settings {
    /// Where charge points reach the gateway: where it was said, or else where the gateway listens, if that is an address that somebody
    /// else could be told.
    pub fn public_url(&self) -> Option<String> {
        let set = self.charger.charger_public_url.clone().filter(|url| !url.is_empty());
        set.or_else(|| match self.gateway.gateway_listen {
            Listen::At(address) if address.port() != 0 && !address.ip().is_unspecified() => {
                Some(format!("http://{address}"))
            }
            Listen::At(_) | Listen::Off => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public_url(arguments: &[&str]) -> Option<String> {
        let cli = Cli::try_parse_from([&["voltgate"], arguments].concat());
        cli.expect("the settings can be read").settings.public_url()
    }

    #[test]
    fn charge_points_are_told_the_address_of_the_gateway_where_it_is_one() {
        let at = |listen: &str| public_url(&[&format!("--gateway-listen={listen}")]);
        assert_eq!(at("192.0.2.7:8080").as_deref(), Some("http://192.0.2.7:8080"));
        for nowhere in ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0", "off"] {
            assert_eq!(at(nowhere), None, "{nowhere}");
        }
        let set = [
            "--gateway-listen=127.0.0.1:8080",
            "--charger-public-url=https://example.com",
        ];
        assert_eq!(public_url(&set).as_deref(), Some("https://example.com"));
    }
}

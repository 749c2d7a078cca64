//! Services: where public schemas of other manifests are read over HTTP.
//!
//! A manifest names them (`syncServices`), or the environment does; what the manifest says counts first.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::connection::Secret;
use super::environment::Environment;
use super::model::Manifest;
use super::problem::{Code, Place};
use super::report::Report;

/// Where the public schemas of another manifest are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncService {
    /// The slug of the manifest that publishes them.
    pub manifest: String,
    pub url: ServiceUrl,
    pub token: Option<Secret>,
    /// PEM; the web's own roots where it is left out.
    pub sslrootcert: Option<PathBuf>,
}

/// The address of a service: `https://host:port/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    pub tls: bool,
    /// A host name or an address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// What stands before every path, without a slash at its end.
    pub prefix: String,
}

/// A text that is no address of a service. It is not quoted: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadServiceUrl {
    #[error("the address of a service is `http://` or `https://`, a host and a port, or `host:port` alone")]
    Form,
    #[error("the address of a service holds no user, no password, no `?` and no `#`")]
    More,
}

impl BadServiceUrl {
    /// Returns what the operator should do.
    pub fn hint(self) -> String {
        match self {
            BadServiceUrl::Form => "write for example https://shop.example.com:3000".to_owned(),
            BadServiceUrl::More => "a token goes into `token`, or into PELTON_SYNC_SERVICE_<SLUG>_TOKEN".to_owned(),
        }
    }
}

/// Where ReJot's `sync` listens, and ours unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 3000;

impl ServiceUrl {
    /// Returns the service on this machine's default port.
    pub fn localhost() -> ServiceUrl {
        ServiceUrl { tls: false, host: "localhost".to_owned(), port: DEFAULT_PORT, prefix: String::new() }
    }

    /// Returns true where what is sent stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Returns `host:port` as it stands in a URL.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

impl FromStr for ServiceUrl {
    type Err = BadServiceUrl;

    fn from_str(text: &str) -> Result<ServiceUrl, BadServiceUrl> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = ::url::Url::parse(&whole).map_err(|_| BadServiceUrl::Form)?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(BadServiceUrl::Form);
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(BadServiceUrl::More);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadServiceUrl::Form)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // `host:port` without a port would be anybody's web server.
        let port = match (text.contains("://"), url.port()) {
            (_, Some(port)) => port,
            (true, None) => url.port_or_known_default().ok_or(BadServiceUrl::Form)?,
            (false, None) if whole.ends_with(":80") => 80,
            (false, None) => return Err(BadServiceUrl::Form),
        };
        if port == 0 {
            return Err(BadServiceUrl::Form);
        }
        Ok(ServiceUrl {
            tls: url.scheme() == "https",
            host: host.to_owned(),
            port,
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl SyncService {
    /// Returns true when its token leaves this machine without encryption.
    pub fn is_exposed(&self) -> bool {
        self.token.is_some() && !self.url.tls && !self.url.is_loopback()
    }
}

/// Where services are that neither the manifest nor the environment names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolver {
    /// Nowhere.
    #[default]
    Env,
    /// On this machine.
    Localhost,
}

impl Manifest {
    /// Returns the service of a manifest, where one is known.
    pub fn sync_service(&self, manifest: &str) -> Option<&SyncService> {
        self.sync_services.iter().find(|service| service.manifest == manifest)
    }

    /// Lets public schemas that come from nowhere else be read from a service on this machine: those of manifests without
    /// a service, where this one has no event store, and none of `together` is the one meant.
    pub fn resolve(&mut self, resolver: Resolver, together: &[String]) {
        if resolver == Resolver::Env || !self.event_stores.is_empty() {
            return;
        }
        for manifest in foreign(self) {
            if self.sync_service(&manifest).is_none() && !together.contains(&manifest) {
                let url = ServiceUrl::localhost();
                self.sync_services.push(SyncService { manifest, url, token: None, sslrootcert: None });
            }
        }
    }
}

/// Returns the slugs of other manifests that consumers read from.
fn foreign(manifest: &Manifest) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    for consumer in &manifest.consumer_schemas {
        if consumer.source_manifest != manifest.slug && !slugs.contains(&consumer.source_manifest) {
            slugs.push(consumer.source_manifest.clone());
        }
    }
    slugs
}

/// Returns the name of the variable that says where a manifest's service is: `PELTON_SYNC_SERVICE_MY_SHOP`.
pub fn service_variable(manifest: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("PELTON_SYNC_SERVICE_{}", manifest.chars().map(fit).collect::<String>())
}

/// Adds the services that the environment names, and the tokens that it has for any of them.
pub(crate) fn from_environment(manifest: &mut Manifest, environment: &dyn Environment, report: &mut Report) {
    let slugs = foreign(manifest);
    for slug in &slugs {
        let at = manifest.consumer_schemas.iter().find(|consumer| consumer.source_manifest == *slug);
        let at = at.map_or(Place::START, |consumer| consumer.at);
        let mut outside = Outside { environment, report, at };
        let ours = service_variable(slug);
        let known = manifest.sync_services.iter().position(|service| service.manifest == *slug);
        let twin = slugs.iter().find(|other| *other != slug && service_variable(other) == ours);
        if let Some(twin) = twin.filter(|_| outside.is_used(&ours)) {
            let message = format!("the environment variable `{ours}` stands for `{slug}` and for `{twin}`");
            let hint =
                format!("write where both are into `syncServices`, or use REJOT_SYNC_SERVICE_{slug}; and unset it");
            outside.error(Code::BadValue, message, hint);
            continue;
        }
        let index = match known {
            Some(index) => index,
            None => {
                let names = [ours.clone(), format!("REJOT_SYNC_SERVICE_{slug}")];
                let Some(url) = names.iter().find_map(|name| outside.url(name)) else { continue };
                let service = SyncService { manifest: slug.clone(), url, token: None, sslrootcert: None };
                manifest.sync_services.push(service);
                manifest.sync_services.len() - 1
            }
        };
        if manifest.sync_services[index].token.is_none() {
            manifest.sync_services[index].token = outside.token(&ours);
        }
    }
}

/// The environment, and where a problem with it is told.
struct Outside<'a> {
    environment: &'a dyn Environment,
    report: &'a mut Report,
    at: Place,
}

impl Outside<'_> {
    fn error(&mut self, code: Code, message: String, hint: String) {
        self.report.error(self.at, "", code, message, Some(hint));
    }

    /// Returns true when something of a service is set.
    fn is_used(&self, variable: &str) -> bool {
        ["", "_TOKEN", "_TOKEN_FILE"].iter().any(|more| {
            let value = self.environment.variable(&format!("{variable}{more}"));
            value.is_ok_and(|value| value.is_some_and(|value| !value.is_empty()))
        })
    }

    /// Returns a variable that is set, and not empty.
    fn variable(&mut self, name: &str) -> Option<String> {
        match self.environment.variable(name) {
            Ok(value) => value.filter(|value| !value.is_empty()),
            Err(_) => {
                let message = format!("the environment variable `{name}` holds bytes that are not UTF-8");
                self.error(Code::MissingVariable, message, format!("set {name} to text"));
                None
            }
        }
    }

    fn url(&mut self, name: &str) -> Option<ServiceUrl> {
        let text = self.variable(name)?;
        text.parse::<ServiceUrl>()
            .map_err(|error| {
                self.error(Code::BadValue, format!("the environment variable `{name}`: {error}"), error.hint());
            })
            .ok()
    }

    fn token(&mut self, variable: &str) -> Option<Secret> {
        if let Some(token) = self.variable(&format!("{variable}_TOKEN")) {
            return Some(Secret::new(token.trim()));
        }
        let name = format!("{variable}_TOKEN_FILE");
        let file = self.variable(&name)?;
        match self.environment.secret_file(file.as_ref()) {
            Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim())),
            Ok(_) => {
                let message = format!("the environment variable `{name}`: {file} is empty");
                self.error(Code::BadValue, message, "write the token into it".to_owned());
                None
            }
            Err(error) => {
                let message = format!("the environment variable `{name}`: cannot read {file}: {error}");
                self.error(Code::SecretUnreadable, message, "check that the file is there and readable".to_owned());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check = |text: &str, expected: &str| match text.parse::<ServiceUrl>() {
            Ok(url) => assert_eq!(url.to_string(), expected, "{text}"),
            Err(error) => assert_eq!(format!("{error:?}"), expected, "{text}"),
        };
        check("localhost:3000", "http://localhost:3000");
        check("http://shop", "http://shop:80");
        check("shop:80", "http://shop:80");
        check("https://shop.example.com", "https://shop.example.com:443");
        check("https://shop.example.com:8443/pelton/", "https://shop.example.com:8443/pelton");
        check("[::1]:3000", "http://[::1]:3000");
        for text in ["", "shop", "ftp://shop:21", "postgres://shop:1", "http://", "shop:99999", "a b:1", "shop:0"] {
            check(text, "Form");
        }
        for text in ["http://me:hunter2@shop:1", "http://shop:1?token=hunter2", "http://shop:1/#x"] {
            check(text, "More");
        }
    }

    #[test]
    fn only_what_stays_on_this_machine_is_loopback() {
        for (text, expected) in
            [("localhost:1", true), ("127.0.0.9:1", true), ("[::1]:1", true), ("10.0.0.1:1", false), ("shop:1", false)]
        {
            assert_eq!(text.parse::<ServiceUrl>().unwrap().is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn a_slug_becomes_a_variable() {
        assert_eq!(service_variable("shop"), "PELTON_SYNC_SERVICE_SHOP");
        assert_eq!(service_variable("@team/my-shop"), "PELTON_SYNC_SERVICE__TEAM_MY_SHOP");
    }
}

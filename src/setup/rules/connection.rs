//! A server that can't be reached, or won't be looked at: why, and what next.

use crate::engine::Chain;
use crate::postgres::{ConnectError, QueryError};
use crate::setup::provider::{self, Signs};
use crate::setup::target::Target;
use crate::setup::{Item, Severity, facts, pooler};

/// Says why a server could not be connected to.
pub fn unreachable(target: &Target, error: &ConnectError) -> Item {
    let rule = rule(error);
    let why = "nothing can be read, written or looked at there; what else is amiss is not known";
    let what = Chain(error).to_string();
    let mut item = Item::amiss(Severity::Error, rule, target.place(), what, why);
    if rule == "version" {
        item.what = format!("the server is older than PostgreSQL {}: {}", facts::VERSION_MIN, item.what);
        return item.step("upgrade the server");
    }
    if let Some((name, instead)) = pooler::by_name(&target.connection) {
        item = item.step(format!("this address is {name}: {instead}"));
    }
    let host = &target.connection.host;
    let provider = provider::recognise(&Signs::of_host(host));
    if rule == "connection-unreachable" {
        let step = match provider {
            provider::Provider::Supabase => Some(
                "Supabase's direct host has an IPv6 address alone, unless the project has the IPv4 add-on: check that this \
                 machine reaches IPv6",
            ),
            provider::Provider::Railway if host.ends_with(".railway.internal") => Some(
                "this name is known inside of the Railway project alone: from outside take its TCP proxy's name and port",
            ),
            provider::Provider::Rds | provider::Provider::Aurora => {
                Some("check the security group, and whether the instance is publicly accessible")
            }
            provider::Provider::Azure => Some("check the server's firewall rules"),
            _ => None,
        };
        item.mends.extend(step.map(|step| crate::setup::Mend::Step(step.to_owned())));
    }
    match error.hint() {
        Some(hint) => item.step(hint),
        None => item,
    }
}

/// Says why a server could not be looked at.
pub fn not_inspected(target: &Target, error: &QueryError) -> Item {
    let why = "what is amiss there is not known";
    let item = Item::amiss(Severity::Error, "connection-lost", target.place(), Chain(error).to_string(), why);
    match error.hint() {
        Some(hint) => item.step(hint),
        None => item,
    }
}

fn rule(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::UnknownHost { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::TimedOut { .. }
        | ConnectError::StartingUp { .. }
        | ConnectError::Lost { .. }
        | ConnectError::NotPostgres { .. } => "connection-unreachable",
        ConnectError::CertificateFile { .. }
        | ConnectError::HalfClientCertificate { .. }
        | ConnectError::NoTls { .. }
        | ConnectError::Tls { .. }
        | ConnectError::UntrustedCertificate { .. }
        | ConnectError::WrongHost { .. } => "connection-tls",
        ConnectError::PasswordMissing { .. }
        | ConnectError::WrongPassword { .. }
        | ConnectError::UnsupportedAuthentication { .. }
        | ConnectError::ServerNotGenuine { .. } => "connection-password",
        ConnectError::NotAllowed { .. } | ConnectError::MayNotReplicate { .. } => "connection-role",
        ConnectError::NoSuchDatabase { .. } => "connection-database",
        ConnectError::NotPermitted { .. } => "database-connect",
        ConnectError::TooManyConnections { .. } => "connection-full",
        // A setting that every session of ours asks for, and that 14 was the first to know.
        ConnectError::Refused { source, .. } if &*source.code == "42704" => "version",
        ConnectError::Refused { source, .. } if &*source.code == "08P01" => "pooler",
        ConnectError::BadSetting { .. } | ConnectError::Refused { .. } => "connection-refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::ServerError;

    #[test]
    fn what_a_server_refuses_has_a_rule_of_its_own() {
        let check = |code: &str, message: &str, expected: &str| {
            assert_eq!(rule(&ConnectError::refused("s", ServerError::new(code, message, None, None))), expected);
        };
        check("28P01", "password authentication failed", "connection-password");
        check("3D000", "database \"x\" does not exist", "connection-database");
        check("42704", "unrecognized configuration parameter \"idle_session_timeout\"", "version");
        check("08P01", "unsupported startup parameter: options", "pooler");
        check("XX000", "no", "connection-refused");
    }
}

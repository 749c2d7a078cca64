//! The known name that somebody meant.

/// A file may have thousands of names, and as many that are wrong.
const KNOWN_MAX: usize = 200;

/// Returns the name among `known` that is nearest to `written`, if one is near enough to be meant.
///
/// Case, `-` and `_` do not count: `connection_slug` is `connectionSlug`.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| -> String {
        name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).take(64).collect()
    };
    let target = plain(written);
    let allowed = (target.chars().count() / 3).max(1);
    known
        .into_iter()
        .take(KNOWN_MAX)
        // Names that differ in length by more can't be near.
        .filter(|name| plain(name).chars().count().abs_diff(target.chars().count()) <= allowed)
        .map(|name| (strsim::damerau_levenshtein(&target, &plain(name)), name))
        // The last clause: of one or two characters nothing may be left to guess from.
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count().min(target.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let known = ["connections", "connectionSlug", "dataStores", "slug", "sql"];
        assert_eq!(nearest("conections", known), Some("connections"));
        assert_eq!(nearest("connection_slug", known), Some("connectionSlug"));
        assert_eq!(nearest("DATASTORES", known), Some("dataStores"));
        assert_eq!(nearest("slgu", known), Some("slug"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", known), None);
    }
}

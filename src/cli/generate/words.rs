//! Names: how what Postgres calls something is spelt in a language.

/// Splits a name into its words, in lower case: `orderLines`, `Order Lines` and `order_lines` are the same two.
///
/// What no language takes in an identifier is left out, so there may be none.
pub fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut inside, mut lower) = (false, false);
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            inside = false;
            continue;
        }
        if !inside || (lower && c.is_ascii_uppercase()) {
            words.push(String::new());
        }
        words.last_mut().expect("one was begun").push(c.to_ascii_lowercase());
        (inside, lower) = (true, c.is_ascii_lowercase());
    }
    words
}

/// `order_lines`
pub fn snake(words: &[String]) -> String {
    words.join("_")
}

/// `OrderLines`
pub fn pascal(words: &[String]) -> String {
    words.iter().map(|word| capitalised(word)).collect()
}

/// `orderLines`
pub fn camel(words: &[String]) -> String {
    let (first, others) = words.split_first().expect("a name has a word");
    first.clone() + &pascal(others)
}

/// `ORDER_LINES`
pub fn screaming(words: &[String]) -> String {
    snake(words).to_ascii_uppercase()
}

fn capitalised(word: &str) -> String {
    let (first, others) = word.split_at(1);
    first.to_ascii_uppercase() + others
}

/// Returns the words of one thing of many: `order_lines` is made of an `order_line`.
pub fn singular(mut words: Vec<String>) -> Vec<String> {
    if let Some(last) = words.last_mut() {
        let stem = |ending: &str| last.strip_suffix(ending).filter(|stem| stem.len() > 1).map(str::to_owned);
        let not_plural = ["ss", "us", "is"].iter().any(|ending| last.ends_with(ending));
        let of_es = ["sses", "xes", "ches", "shes"].iter().any(|ending| last.ends_with(ending));
        *last = match () {
            () if not_plural => last.clone(),
            () if of_es => stem("es").unwrap_or_else(|| last.clone()),
            () => match stem("ies") {
                Some(stem) => stem + "y",
                None => stem("s").unwrap_or_else(|| last.clone()),
            },
        };
    }
    words
}

/// Makes a name an identifier that is not taken yet: one that would begin with a digit gets `n_`, a taken one a number.
/// `fallback` stands for a name without words.
pub fn fresh(mut words: Vec<String>, fallback: &str, taken: &[Vec<String>]) -> Vec<String> {
    if words.is_empty() {
        words = vec![fallback.to_owned()];
    }
    if words[0].starts_with(|c: char| c.is_ascii_digit()) {
        words.insert(0, "n".to_owned());
    }
    let plain = words.clone();
    let mut number = 2;
    // `address1` and `address_1` are one name where words are joined without a sign.
    let is_taken = |words: &Vec<String>| taken.iter().any(|other| other.concat() == words.concat());
    while is_taken(&words) {
        words = plain.clone();
        words.push(number.to_string());
        number += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for name in ["order_lines", "orderLines", "Order Lines", "order-lines", "order$lines"] {
            assert_eq!(words(name), ["order", "lines"], "{name}");
        }
        assert_eq!(words("ID"), ["id"]);
        assert_eq!(words("größe"), ["gr", "e"]);
        assert!(words("数量").is_empty());
        let lines = words("order_lines");
        assert_eq!(
            (snake(&lines), camel(&lines), pascal(&lines)),
            ("order_lines".into(), "orderLines".into(), "OrderLines".into())
        );
    }

    #[test]
    fn one_of_many() {
        let one = |name: &str| snake(&singular(words(name)));
        let cases = [
            ("orders", "order"),
            ("order_lines", "order_line"),
            ("categories", "category"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("status", "status"),
            ("news", "new"),
            ("s", "s"),
            ("stock", "stock"),
        ];
        for (many, expected) in cases {
            assert_eq!(one(many), expected);
        }
    }

    #[test]
    fn every_column_gets_an_identifier() {
        let taken = [vec!["id".to_owned()]];
        assert_eq!(fresh(words("id"), "column_3", &taken), ["id", "2"]);
        assert_eq!(fresh(words("数量"), "column_3", &taken), ["column_3"]);
        assert_eq!(fresh(words("2fa"), "column_3", &taken), ["n", "2fa"]);
    }
}

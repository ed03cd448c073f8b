//! Variables in `docker-compose.yml`.

/// Compose's `$$`, `${NAME}` and `${NAME:-default}`.
pub(crate) fn interpolate(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((expression, after)) = rest
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
        {
            let (name, default) = expression.split_once(":-").unwrap_or((expression, ""));
            let value = lookup(name).filter(|value| !value.is_empty());
            out.push_str(&value.unwrap_or_else(|| default.to_owned()));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_as_compose_does() {
        let lookup = |name: &str| (name == "SET").then(|| "yes".to_owned());
        assert_eq!(
            interpolate("${SET:-no} ${UNSET:--Xmx1g} $$HOME ${UNSET}.", lookup),
            "yes -Xmx1g $HOME ."
        );
    }
}
